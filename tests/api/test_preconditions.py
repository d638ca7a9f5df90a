"""`ETag` and `If-Match`, and the `revision` of rules: no write goes over a change unseen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from rowkeeper.rules.repository.rules import rules_of, save_rules
from tests.support.calls import (
    OPEN,
    READ,
    Answer,
    Api,
    Place,
    anonymous,
    bare_token,
    manager,
    place,
    superuser,
)

STALE = (412, "request.precondition")
CONFLICT = (409, "request.conflict")
DENIED = (400, "datasource.access")


def tag_of(answer: Answer) -> str:
    assert answer.status in (200, 201), answer.text
    return answer.headers["ETag"]


@pytest.fixture
def there(db: None) -> Place:
    return place(rows=[{"N": 1}, {"N": 2}], columns=["N", "M"])


@pytest.mark.django_db
def test_the_tag_of_an_entry_changes_with_each_write(there: Place) -> None:
    api, url = anonymous(), f"{there.data}/{there.ids[0]}"
    seen = [tag_of(api("GET", url))]
    assert tag_of(api("GET", url)) == tag_of(api("HEAD", url)) == seen[0]
    for n in range(3):
        seen.append(tag_of(api("PUT", url, {"N": n})))
        assert tag_of(api("GET", url)) == seen[-1]
    assert api("POST", f"{there.url}/commit", commit(there, 9)).status == 200
    seen.append(tag_of(api("GET", url)))
    assert len(set(seen)) == 5
    made = api("PUT", there.data, {"N": 7})
    assert tag_of(made) == tag_of(api("GET", f"{there.data}/{made.json['id']}"))


def commit(there: Place, n: int) -> dict[str, Any]:
    return {"append": True, "entries": [{"id": there.ids[0], "data": {"N": n}}]}


@pytest.mark.django_db
def test_the_tag_of_an_entry_changes_while_the_clock_stands(
    there: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, url, now = anonymous(), f"{there.data}/{there.ids[0]}", timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    seen = {tag_of(api("PUT", url, {"N": n})) for n in range(4)}
    assert len(seen) == 4
    assert tag_of(api("GET", url)) in seen


@pytest.mark.django_db
def test_a_tag_tells_nothing_about_a_value(there: Place) -> None:
    """The same time, another value: the same tag."""
    url, tags = f"{there.data}/{there.ids[0]}", set()
    for row in ({"N": 1}, {"N": 2}):
        there.model.entries.filter(pk=there.ids[0]).update(data=row)
        tags.add(tag_of(anonymous()("GET", url)))
    assert len(tags) == 1


def single_writes(there: Place) -> Iterator[tuple[str, str, Any]]:
    """Each write of one entry or data source: method, path, body."""
    yield "PUT", f"{there.data}/{there.ids[0]}", {"M": 1}
    yield "DELETE", f"{there.data}/{there.ids[0]}", None
    yield "PUT", there.url, {"type": "x"}
    yield "PUT", there.url, {"accessRules": [READ]}
    yield "DELETE", there.url, None


@pytest.mark.django_db
@pytest.mark.parametrize("at", range(5))
def test_if_match_of_every_write(there: Place, at: int) -> None:
    method, path, body = list(single_writes(there))[at]
    api = superuser()
    before = tag_of(api("GET", path))
    change(api, there, path)
    now = tag_of(api("GET", path))
    assert now != before
    stored = tag_of(api("GET", there.url)), there.stored
    for stale in (before, '"x"', '""', f'{before}, "y"', f"W/{before}"):
        answer = api(method, path, body, headers={"If-Match": stale})
        assert answer.failure == STALE, (stale, answer.text)
    for malformed in ("x", "", '"a" "b"', '"a', now.strip('"'), f"{now},"):
        answer = api(method, path, body, headers={"If-Match": malformed})
        assert answer.failure == (400, "request.invalid"), malformed
    assert (tag_of(api("GET", there.url)), there.stored) == stored
    for fresh in ("W/{}", "*", '"x", {}') if method == "PUT" else ():
        answer = api(method, path, body, headers={"If-Match": fresh.format(now)})
        now = tag_of(answer)
        assert now == tag_of(api("GET", path))
    assert api(method, path, body, headers={"If-Match": now}).status == 200


def change(api: Api, there: Place, path: str) -> None:
    """Somebody else's write."""
    body = {"N": 5} if path.startswith(there.data) else {"columns": ["N", "M", "O"]}
    assert api("PUT", path, body).status == 200


@pytest.mark.django_db
def test_new_columns_and_rules_change_the_tag_of_a_data_source(there: Place) -> None:
    api = superuser()
    seen = [tag_of(api("GET", there.url))]
    api("PUT", there.data, {"New": 1})
    seen.append(tag_of(api("GET", there.url)))
    save_rules(there.model, [READ])
    seen.append(tag_of(api("GET", there.url)))
    assert len(set(seen)) == 3
    made = api("POST", "data-sources", {"name": "Other"})
    assert tag_of(made) == tag_of(api("GET", "data-sources/Other"))


@pytest.mark.django_db
def test_a_write_of_many_refuses_if_match(there: Place) -> None:
    for method, path, body in (
        ("PUT", there.data, {"N": 1}),
        ("POST", there.data, {"entries": []}),
        ("POST", f"{there.url}/commit", {"entries": []}),
        ("POST", f"{there.data}/query", {"type": "delete", "where": {}}),
        ("POST", "data-sources", {"name": "New"}),
    ):
        answer = superuser()(method, path, body, headers={"If-Match": '"x"'})
        assert answer.failure == (400, "request.invalid"), path
        assert "If-Match" in answer.json["message"]
    assert len(there.stored) == 2


@pytest.mark.django_db
def test_a_denial_comes_before_a_stale_tag() -> None:
    there = place([READ], [{"N": 1}])
    for api in (anonymous(), bare_token()[1]):
        for method in ("PUT", "DELETE"):
            path, sent = f"{there.data}/{there.ids[0]}", {"If-Match": '"x"'}
            answer = api(method, path, {"N": 2}, headers=sent)
            assert answer.failure == api(method, path, {"N": 2}).failure
    viewer = manager("view", on=there.model)
    for method in ("PUT", "DELETE"):
        answer = viewer(method, there.url, {"type": "x"}, headers={"If-Match": '"x"'})
        assert answer.failure == (403, "auth.forbidden")


@pytest.mark.django_db
def test_who_is_only_let_in_gets_no_tag_of_the_data_source(there: Place) -> None:
    assert "ETag" not in anonymous()("GET", there.url).headers


@pytest.mark.django_db(transaction=True)
def test_a_counter_that_many_raise_at_once() -> None:
    """Each reads, adds one and writes with `If-Match` until it succeeds."""
    there = place(rows=[{"N": 0}])
    url, failures = f"{there.data}/{there.ids[0]}", []

    def raise_it() -> None:
        api = anonymous()
        try:
            for _ in range(5):
                while True:
                    answer = api("GET", url)
                    sent = {"N": answer.json["data"]["N"] + 1}
                    done = api("PUT", url, sent, headers={"If-Match": tag_of(answer)})
                    if done.status == 200:
                        break
                    assert done.status in (412, 503), done.text
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=raise_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert there.stored == {there.ids[0]: {"N": 20}}


# -- the revision of rules


@pytest.mark.django_db
def test_rules_that_are_based_on_an_older_revision(there: Place) -> None:
    api, first, second = superuser(), [READ], [OPEN, READ]
    found = api("GET", there.url).json["dataSource"]
    base = found["revision"]
    answer = api("PUT", there.url, {"accessRules": first, "revision": base})
    assert answer.json["dataSource"]["revision"] == base + 1
    for body in ({"accessRules": second, "columns": ["X"]}, {"columns": ["X"]}, {}):
        answer = api("PUT", there.url, {**body, "revision": base})
        assert answer.failure == CONFLICT
        assert answer.json["payload"]["revision"] == base + 1
        assert any("rule 1" in line for line in answer.json["payload"]["changes"])
    there.model.refresh_from_db()
    assert rules_of(there.model) == first and there.model.columns == ["N", "M"]
    body = {"accessRules": second, "revision": base + 1}
    assert api("PUT", there.url, body).status == 200
    assert api("PUT", there.url, {"accessRules": [], "revision": None}).status == 200
    # A number that no revision has had: what has changed since is not known.
    answer = api("PUT", there.url, {"accessRules": first, "revision": 10**6})
    assert answer.failure == CONFLICT and answer.json["payload"]["changes"] == []


@pytest.mark.django_db
def test_a_revision_needs_the_right_to_see_rules(there: Place) -> None:
    editor = manager("view", "change", on=there.model)
    assert "revision" not in editor("GET", there.url).json["dataSource"]
    for number in (there.model.revision, there.model.revision + 1):
        answer = editor("PUT", there.url, {"type": "x", "revision": number})
        assert answer.failure == (403, "auth.forbidden")
    assert editor("PUT", there.url, {"type": "x", "revision": None}).status == 200
