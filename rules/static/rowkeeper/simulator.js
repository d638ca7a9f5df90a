// The simulator: asks the server what the rules would say, shows the answer, and paints the reasons
// on the rows of the rule list, where there is one on the page. It writes nothing.
//
// What was typed stays text until the server reads it: a number may be larger than a browser holds.

const WORDS = { select: "read", insert: "insert", update: "update", delete: "delete", commit: "commit" };
const LABELS = {
    select: ["Query", '{"where": {"Department": "Marketing"}}'],
    delete: ["Query", '{"where": {"Department": "Marketing"}}'],
    insert: ["Submitted data", '{"Email": "bob@acme.com"}'],
    update: ["Submitted data", '{"Role": "Admin"}'],
    commit: ["Submitted data", '{"entries": [{"data": {}}], "append": true}'],
};
// Longer links are cut by mail programs and chats: then the rules stay behind.
const LONGEST_LINK = 6000;

function h(name, properties, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(properties ?? {})) {
        if (value === false || value === null || value === undefined) continue;
        if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
        else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return node;
}

// Reasons quote names as `Name`.
function quoted(text) {
    return text.split("`").map((part, at) => (at % 2 ? h("code", {}, h("bdi", {}, part)) : part));
}

const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;

class Simulator {
    constructor(root) {
        this.root = root;
        this.form = root.querySelector("form");
        this.result = root.querySelector("[data-result]");
        this.status = root.querySelector("[data-status]");
        this.fields = new Map([...root.querySelectorAll("[data-field]")].map((node) => [node.dataset.field, node]));
        // The list of rules on the same page, which may not have been saved.
        this.area = "alone" in root.dataset ? null : document.querySelector("textarea[name=rules]");
        this.asking = null;
        this.later = 0;
        this.people = null;
        this.form.addEventListener("submit", (event) => { event.preventDefault(); this.ask(); });
        this.form.addEventListener("change", () => this.arrange());
        this.form.addEventListener("focusin", () => this.offer(), { once: true });
        this.form.addEventListener("keydown", (event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.ask();
        });
        root.querySelector("[data-copy]").addEventListener("click", () => this.copy());
        this.area?.addEventListener("rowkeeper:rules", () => this.rulesChanged());
        this.area?.addEventListener("input", () => this.rulesChanged());
        this.begin();
    }

    // -- what is asked

    value(name) {
        return this.fields.get(name)?.value ?? "";
    }

    state() {
        const kind = this.value("kind");
        const who = { kind };
        if (kind === "row") Object.assign(who, { source: this.value("source"), name: this.value("name") });
        if (kind === "django") who.name = this.value("user");
        if (kind === "data") who.data = this.value("data");
        if (kind === "token") who.token = this.value("token").trim();
        if (kind === "token" || kind === "data") who.app = this.value("app").trim();
        const operation = this.value("operation");
        const state = { as: who, operation, body: this.value("body") };
        if (this.hasEntry(operation) && this.value("entry").trim()) state.entry = this.value("entry").trim();
        const rules = this.area ? this.area.value : this.value("rules");
        if (this.area || rules.trim()) state.rules = rules;
        return state;
    }

    hasEntry(operation) {
        return operation === "select" || operation === "update" || operation === "delete";
    }

    async begin() {
        let state = this.root.dataset.state ? JSON.parse(this.root.dataset.state) : {};
        if (location.hash.startsWith("#ask=")) {
            try {
                state = JSON.parse(decodeURIComponent(location.hash.slice(5)));
            } catch {
                this.say("The link cannot be read.");
            }
        }
        const begun = Boolean(state.operation);
        if (begun) await this.offer();
        this.fill(state);
        this.arrange();
        if (begun && !state.logged) this.ask();
    }

    fill(state) {
        const who = state.as ?? {};
        const values = {
            kind: who.kind, source: who.source, name: who.name, user: who.name, data: who.data, token: who.token,
            app: who.app, operation: state.operation, entry: state.entry, body: state.body, rules: state.rules,
        };
        for (const [name, value] of Object.entries(values)) {
            const node = this.fields.get(name);
            if (node && value !== undefined && value !== null) node.value = String(value);
        }
        if (state.rules) this.root.querySelector("[data-rules]")?.setAttribute("open", "");
        this.root.querySelector("[data-logged]").hidden = !state.logged;
    }

    // Fields for this kind of caller and this operation alone.
    arrange() {
        const kind = this.value("kind");
        const operation = this.value("operation");
        for (const node of this.form.querySelectorAll("[data-for]")) node.hidden = !node.dataset.for.split(" ").includes(kind);
        const entry = this.form.querySelector("[data-when=entry]");
        entry.hidden = !this.hasEntry(operation);
        entry.querySelector("[data-optional]").hidden = operation === "update";
        const byId = this.hasEntry(operation) && operation !== "update" && this.value("entry").trim() !== "";
        this.form.querySelector("[data-when=body]").hidden = byId;
        const [label, example] = LABELS[operation];
        this.form.querySelector("[data-label=body]").textContent = `${label}, as JSON`;
        this.fields.get("body").placeholder = example;
    }

    // Whom one can ask as; asked for when the panel is first used.
    async offer() {
        this.people ??= this.fetchPeople();
        await this.people;
    }

    async fetchPeople() {
        const response = await fetch(this.root.dataset.ask, { headers: { Accept: "application/json" } }).catch(() => null);
        if (!response?.ok) return;
        const found = await response.json();
        const option = (value, text) => h("option", { value }, text);
        const chosen = this.value("source");
        this.fields.get("source").replaceChildren(...found.sources.map((one) => option(one.id, one.name)));
        if (chosen) this.fields.get("source").value = chosen;
        if (!found.sources.length) this.fields.get("source").append(option("", "none that you can see"));
        this.form.querySelector("#rks-tokens").replaceChildren(...found.tokens.map((one) => option(one.id, one.name)));
        this.form.querySelector("#rks-apps").replaceChildren(...found.apps.map((one) => option(one.id, one.name)));
        if (!this.value("user")) this.fields.get("user").value = found.me;
    }

    rulesChanged() {
        if (!this.result.hasChildNodes()) return;
        this.result.classList.add("rks-stale");
        clearTimeout(this.later);
        this.later = setTimeout(() => this.ask(true), 700);
    }

    say(text) {
        this.status.textContent = text;
    }

    // -- asking

    async ask(again = false) {
        clearTimeout(this.later);
        this.asking?.abort();
        const asking = this.asking = new AbortController();
        this.say(again ? "" : "Simulating …");
        let answer;
        try {
            // What one can choose from may still be on its way.
            await this.offer();
            const response = await fetch(this.root.dataset.ask, {
                method: "POST",
                signal: asking.signal,
                headers: {
                    "Content-Type": "application/json", Accept: "application/json",
                    "X-CSRFToken": this.form.querySelector("[name=csrfmiddlewaretoken]").value,
                },
                body: JSON.stringify(this.state()),
            });
            answer = (response.headers.get("Content-Type") ?? "").startsWith("application/json")
                ? await response.json()
                : { message: `The server rejected the request (${response.status}).` };
        } catch (error) {
            if (error.name === "AbortError") return;
            answer = { message: "The server cannot be reached." };
        }
        this.say("");
        this.show(answer);
    }

    paint(lines) {
        this.area?.dispatchEvent(new CustomEvent("rowkeeper:paint", { detail: lines && { lines } }));
    }

    show(answer) {
        this.result.classList.remove("rks-stale");
        if (answer.message || answer.problems) {
            const texts = answer.problems ?? [answer.message];
            const head = answer.problems ? "These rules cannot be saved" : "This request cannot be simulated";
            this.result.replaceChildren(
                h("h3", { class: "rks-verdict rks-not" }, head),
                h("ul", { class: "rks-problems" }, texts.map((text) => h("li", {}, quoted(text)))),
            );
            this.paint(null);
            return;
        }
        this.result.replaceChildren(...[
            this.verdict(answer), this.nearest(answer), this.trace(answer), this.query(answer), this.columns(answer),
            this.table(answer), this.written(answer), this.body(answer),
        ].filter(Boolean));
        this.paint(answer.lines);
    }

    verdict(answer) {
        const last = answer.decisions.at(-1);
        const operation = WORDS[this.value("operation")];
        let text = answer.status === 404 ? "There is no such entry" : answer.status === 401 ? "Denied: a login is required" : "Denied";
        if (answer.granted) text = "Granted";
        else if (answer.status >= 400 && !answer.lines.length) text = "Denied: there are no rules";
        if (answer.body && !answer.granted && answer.body.includes('"request.invalid"')) text = "Not a valid request";
        const by = answer.granted && last?.rule ? ` by rule ${last.rule}${last.name ? `, ${last.name}` : ""}` : "";
        return h("h3", { class: `rks-verdict ${answer.granted ? "rks-yes" : "rks-no"}` },
            h("span", {}, `${text}${by}`), h("span", { class: "rks-status" }, `${operation}: ${answer.status}`));
    }

    nearest(answer) {
        if (!answer.nearest) return null;
        const steps = answer.nearest.steps;
        const parts = steps.flatMap((step, at) => [at ? (at === steps.length - 1 ? " and " : ", ") : "", ...quoted(step)]);
        return h("p", { class: "rks-nearest" }, h("b", {}, "Nearest miss: "),
            `rule ${answer.nearest.rule} would have granted the request `, ...parts, ".");
    }

    trace(answer) {
        if (!answer.lines.length) return h("p", {}, "There are no rules, so nobody gets in.");
        const line = (one) => h("li", { class: `rks-line${one.granted ? " rks-line-granted" : ["type", "disabled", "unreached"].includes(one.code) ? " rks-line-silent" : ""}` },
            h("span", { class: "rks-number" }, String(one.position)),
            h("span", {}, one.name ? h("b", {}, h("bdi", {}, one.name), " ") : null, ...quoted(one.text),
                one.script.length ? h("ul", { class: "rks-script" }, one.script.map((text) => h("li", {}, quoted(text)))) : null));
        return h("div", {}, h("h4", {}, "Result of each rule"), h("ol", { class: "rks-trace" }, answer.lines.map(line)));
    }

    query(answer) {
        if (!answer.query) return null;
        const { where, added, rewritten } = answer.query;
        return h("div", {}, h("h4", {}, "The query that runs"), h("p", { class: "rks-query" }, ...quoted(where)),
            added.length ? h("p", { class: "rks-quiet" }, "Added by the rule: ", ...quoted(added.join(" and "))) : null,
            rewritten ? h("p", { class: "rks-quiet" }, "A script replaced the query of the request.") : null);
    }

    columns(answer) {
        if (!answer.columns.length || answer.table) return null;
        const reads = this.value("operation") === "select";
        const chip = (one) => h("li", { class: one.open ? "rks-open" : "rks-closed" }, h("bdi", {}, one.name),
            one.open ? null : h("span", { class: "rks-tag" }, reads ? "hidden" : "closed"));
        return h("div", {}, h("h4", {}, reads ? "Columns" : "Columns that may be written"), h("ul", { class: "rks-columns" }, answer.columns.map(chip)));
    }

    table(answer) {
        const table = answer.table;
        if (!table) return null;
        if (!table.rows.length) return h("p", { class: "rks-quiet" }, "No entries match.");
        const mark = (at) => (table.columns[at].open ? null : "rks-masked");
        const head = table.columns.map((one, at) => h("th", { scope: "col", class: mark(at) }, h("bdi", {}, one.name),
            one.open ? null : h("span", { class: "rks-tag" }, "hidden")));
        const rows = table.rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.id),
            row.cells.map((cell, at) => h("td", { class: mark(at) ?? (cell.kind === "missing" ? "rowkeeper-missing" : null) }, h("bdi", {}, cell.text)))));
        return h("div", {}, h("h4", {}, "The first entries"),
            h("div", { class: "rowkeeper-scroll", role: "region", "aria-label": "The first entries", tabindex: "0" },
                h("table", { class: "rowkeeper-table" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "ID"), head)), h("tbody", {}, rows))),
            table.columns.some((one) => !one.open)
                ? h("p", { class: "rks-quiet" }, "Columns marked “hidden” are only shown to you: the response does not contain them.") : null);
    }

    written(answer) {
        if (!answer.written?.length && !answer.gone) return null;
        const item = (one) => h("li", {}, one.id ? `entry ${one.id}: ` : "a new entry: ", h("code", { class: "rks-json" }, one.row));
        return h("div", {}, h("h4", {}, "What would be written"),
            h("ul", { class: "rks-written" }, (answer.written ?? []).map(item),
                answer.more ? h("li", {}, `and ${count(answer.more, "other", "others")}`) : null,
                answer.gone ? h("li", {}, `${count(answer.gone, "entry", "entries")} would be deleted`) : null));
    }

    body(answer) {
        if (answer.body === null) return null;
        const note = answer.cut ? h("p", { class: "rks-quiet" }, "At most 50 entries are shown here.") : null;
        return h("details", { class: "rks-body", open: !answer.granted }, h("summary", {}, `The answer, ${answer.status}`),
            h("pre", { class: "rowkeeper-json", tabindex: "0" }, answer.body), note);
    }

    // -- the link

    async copy() {
        const state = this.state();
        let hash = encodeURIComponent(JSON.stringify(state));
        let said = "The link was copied.";
        if (state.rules !== undefined && hash.length > LONGEST_LINK) {
            delete state.rules;
            hash = encodeURIComponent(JSON.stringify(state));
            said = "The link was copied without the rules, because they are too long. It uses the saved rules.";
        }
        const link = `${new URL(this.root.dataset.page, location.href)}#ask=${hash}`;
        if ("alone" in this.root.dataset) history.replaceState(null, "", link);
        try {
            await navigator.clipboard.writeText(link);
            this.say(said);
        } catch {
            this.say("");
            const input = h("input", { type: "text", readonly: true, value: link, "aria-label": "The link", class: "rks-copied" });
            this.status.replaceChildren(input);
            input.select();
        }
    }
}

for (const root of document.querySelectorAll("[data-rowkeeper-simulator]")) new Simulator(root);
