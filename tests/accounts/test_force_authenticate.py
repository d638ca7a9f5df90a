"""A host project's own tests ask the API with `force_authenticate` and `force_login`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from rowkeeper.accounts.identity import Identity
from rowkeeper.accounts.tokens import create_api_token
from tests.support.calls import READ, bare_token, place

pytestmark = pytest.mark.django_db
OWN: dict[str, Any] = {
    "type": ["select", "insert"],
    "allow": {"user": {"Source": {"equals": "django"}}},
}


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann", "ann@acme.com")


def forced(user: Any = None, token: Any = None) -> APIClient:
    client = APIClient()
    client.force_authenticate(user, token)
    return client


def ask(client: APIClient, there: Any, **headers: str) -> Any:
    return client.post(
        f"/v1/{there.data}/query", {"type": "select"}, format="json", headers=headers
    )


def test_a_forced_user_is_that_django_user(ann: User) -> None:
    there = place([OWN], [{"A": 1}])
    client = forced(ann)
    assert client.get("/v1/user").json()["user"]["id"] == f"django:{ann.pk}"
    assert ask(client, there).json()["entries"][0]["data"] == {"A": 1}
    assert len(json.loads(client.get(f"/v1/{there.data}").getvalue())["entries"]) == 1
    assert client.put(f"/v1/{there.data}", {"A": 2}, format="json").status_code == 200


def test_a_forced_user_has_the_rights_of_that_user(ann: User) -> None:
    there = place([READ], [{"A": 1}])
    assert forced(ann).delete(f"/v1/{there.url}").status_code == 403
    ann.is_superuser = True
    ann.save()
    assert forced(ann).delete(f"/v1/{there.url}").status_code == 200


def test_a_long_answer_goes_on_for_a_forced_user(ann: User) -> None:
    there = place([OWN], [{"A": n} for n in range(2_500)])
    response = forced(ann).get(f"/v1/{there.data}")
    assert len(json.loads(response.getvalue())["entries"]) == 2_500


@pytest.mark.parametrize("token", ["anything", object()])
def test_a_token_of_another_kind_beside_the_user_does_not_count(ann: User, token: Any) -> None:
    there = place([OWN], [{"A": 1}])
    assert ask(forced(ann, token), there).status_code == 200


def test_a_token_of_ours_is_that_token(ann: User) -> None:
    token, _ = create_api_token("a token", user=ann)
    there = place([{"type": ["select"], "allow": {"tokens": [token.pk]}}], [{"A": 1}])
    assert ask(forced(ann, token), there).status_code == 200
    assert ask(forced(ann), there).status_code == 400


def test_an_identity_is_taken_as_it_is() -> None:
    there = place([{"type": ["select"], "allow": {"user": {"Role": {"equals": "Admin"}}}}], [{}])
    assert ask(forced(token=Identity(user={"Role": "Admin"})), there).status_code == 200
    assert ask(forced(token=Identity(user={"Role": "User"})), there).status_code == 400


def test_a_forced_user_comes_before_a_header(ann: User) -> None:
    token, api = bare_token()
    there = place([{"type": ["select"], "allow": {"tokens": [token.pk]}}, OWN], [{"A": 1}])
    # The second one is decided by what was found with the first, without a force.
    assert api("POST", f"{there.data}/query", {}).status == 200
    assert api("POST", f"{there.data}/query", {}).status == 200
    client = forced(User.objects.create_user("eve"))
    assert client.get("/v1/user", headers=api.headers).json()["user"]["type"] == "django"
    assert ask(client, there, **api.headers).status_code == 200


def test_nobody_and_an_inactive_user_are_anonymous(ann: User) -> None:
    ann.is_active = False
    there = place([OWN], [{"A": 1}])
    for client in (forced(), forced(ann)):
        assert client.get("/v1/user").status_code == 401
        assert ask(client, there).status_code == 401


def test_force_login_works_as_well(ann: User) -> None:
    there = place([OWN], [{"A": 1}])
    client = APIClient()
    client.force_login(ann, backend="django.contrib.auth.backends.ModelBackend")
    assert ask(client, there).status_code == 200
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(ann, backend="django.contrib.auth.backends.ModelBackend")
    assert ask(client, there).status_code == 403
