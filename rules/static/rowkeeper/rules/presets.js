// Rules that are wanted again and again: each says what it is for, asks for what it needs, and makes
// an ordinary rule.

import { chips, combobox } from "./combobox.js";
import { button, h, newId, select } from "./dom.js";
import { Raw } from "./json.js";
import { convert } from "./paste.js";
import { DOES, OPERATIONS, templateOf } from "./words.js";

const SCRIPT = `# Who is asking, for what: see \`type\`, \`user\`, \`query\` and \`entry\`.
if not user:
    return {"granted": False}
if type == "select":
    query.Email = user.Email
    return {"granted": True}
return {"granted": False}
`;

const rule = (...entries) => new Map(entries.filter(([, value]) => value !== undefined));
const some = (list) => (list.length ? list : undefined);
const own = (column, field) => [new Map([[column, new Map([["equals", templateOf(field)]])]])];
const hidden = { key: "hidden", kind: "columns", label: "Columns to hide", optional: true };

export const PRESETS = [
    {
        id: "empty", title: "From scratch", text: "Signed-in users can read. Change what you want.",
        asks: [], make: () => rule(["type", ["select"]], ["allow", "loggedIn"]),
    },
    {
        id: "public", title: "Everyone reads", text: "Also people who are not signed in.", asks: [hidden],
        make: ({ hidden }) => rule(["type", ["select"]], ["allow", "all"], ["exclude", some(hidden)]),
    },
    {
        id: "signed-in", title: "Signed-in users read", text: "All rows, without the columns that you hide.", asks: [hidden],
        make: ({ hidden }) => rule(["type", ["select"]], ["allow", "loggedIn"], ["exclude", some(hidden)]),
    },
    {
        id: "own-rows", title: "Own rows", text: "Signed-in users have access to their own rows only.",
        asks: [
            { key: "column", kind: "column", label: "Column that identifies the owner of a row", guess: ["Email"] },
            { key: "field", kind: "field", label: "Field of the user that it equals", guess: ["Email"] },
            { key: "operations", kind: "operations", label: "They can", value: ["select", "update"] },
            { ...hidden, label: "Columns to hide from them" },
        ],
        make: ({ column, field, operations, hidden }) => rule(
            ["type", operations], ["allow", "loggedIn"], ["exclude", some(hidden)], ["require", own(column, field)],
        ),
    },
    {
        id: "department", title: "Own department", text: "Signed-in users read the rows of their department.",
        asks: [
            { key: "column", kind: "column", label: "Column with the department", guess: ["Department"] },
            { key: "field", kind: "field", label: "Field of the user that it equals", guess: ["Department"] },
            hidden,
        ],
        make: ({ column, field, hidden }) => rule(
            ["type", ["select"]], ["allow", "loggedIn"], ["exclude", some(hidden)], ["require", own(column, field)],
        ),
    },
    {
        id: "admins", title: "Full access for admins", text: "Admins read, add, change and delete everything.",
        asks: [
            { key: "field", kind: "field", label: "Field of the user that identifies admins", guess: ["Role"] },
            { key: "value", kind: "value", label: "Its value for admins", value: "Admin" },
        ],
        first: true,
        make: ({ field, value }) => rule(
            ["type", [...OPERATIONS]], ["allow", new Map([["user", new Map([[field, new Map([["equals", value]])]])]])],
        ),
    },
    {
        id: "form", title: "Form that only adds", text: "People can submit rows, but cannot read them.",
        asks: [
            { key: "who", kind: "who", label: "Who can submit" },
            { key: "columns", kind: "columns", label: "Columns of the form" },
            { key: "required", kind: "columns", label: "Required columns", optional: true },
        ],
        make: ({ who, columns, required }) => rule(
            ["type", ["insert"]], ["allow", who], ["include", columns], ["require", some(required)],
        ),
    },
    {
        id: "token", title: "API token only", text: "A program has access, and nobody else.",
        asks: [
            { key: "token", kind: "token", label: "API token" },
            { key: "operations", kind: "operations", label: "It can", value: ["select"] },
        ],
        make: ({ token, operations }) => rule(
            ["type", operations], ["allow", new Map([["tokens", [new Raw(token)]]])],
        ),
    },
    {
        id: "script", title: "Script", text: "Conditions that no other rule can express, in Python.", asks: [],
        make: () => rule(["script", SCRIPT]),
    },
];

// -- what a preset asks for

const KINDS = {
    column: (ask, answers, offers) => offered(ask, answers, offers.columns),
    field: (ask, answers, offers) => offered(ask, answers, offers.session),
    value: (ask, answers, offers) => offered(ask, answers, () => offers.values("")),
    token: (ask, answers, offers) => offered(ask, answers, offers.tokens),
    columns: (ask, answers, offers) => {
        const list = (answers[ask.key] = []);
        return chips({
            label: ask.label, placeholder: "Column", options: offers.columns,
            items: () => list.map((value) => ({ value })), add: (value) => list.push(value),
            remove: (value) => list.splice(list.indexOf(value), 1),
        });
    },
    operations: (ask, answers) => {
        const chosen = new Set(ask.value);
        answers[ask.key] = [...ask.value];
        return h("div", { class: "rk-radios", role: "group", "aria-label": ask.label }, OPERATIONS.map((operation) => h(
            "label", {}, h("input", {
                type: "checkbox", value: operation, checked: chosen.has(operation), onchange: ({ target }) => {
                    if (target.checked) chosen.add(operation); else chosen.delete(operation);
                    answers[ask.key] = OPERATIONS.filter((item) => chosen.has(item));
                },
            }), h("span", {}, DOES[operation]),
        )));
    },
    who: (ask, answers) => {
        answers[ask.key] = "all";
        return select(ask.label, [["all", "Everyone"], ["loggedIn", "Everyone signed in"]], "all",
            (chosen) => { answers[ask.key] = chosen; });
    },
};

function offered(ask, answers, options) {
    const found = options();
    const guess = ask.guess?.find((name) => found.some((option) => option.value === name));
    answers[ask.key] = guess ?? ask.value ?? "";
    return combobox({
        label: ask.label, value: answers[ask.key], options,
        oninput: (value) => { answers[ask.key] = value.trim(); },
    });
}

function problem(preset, answers) {
    const missing = preset.asks.find((ask) => !ask.optional && !answers[ask.key].length);
    if (missing) return `${missing.label}: choose one.`;
    return "token" in answers && !/^[1-9][0-9]*$/.test(answers.token) ? "API token: choose one, or enter its ID." : "";
}

// -- the dialog: choose, answer, add; or paste

export function presetDialog(offers, count, add) {
    const title = newId();
    const dialog = h("dialog", { class: "rk-dialog", "aria-labelledby": title });
    const page = (heading, ...children) => {
        dialog.replaceChildren(
            h("h2", { id: title }, heading), ...children.filter(Boolean),
        );
        dialog.querySelector("[data-first], input, textarea")?.focus();
    };
    const cancel = () => button("Cancel", () => dialog.close(), { class: "rk-button rk-quiet" });
    const back = () => button("Back", choose, { class: "rk-button rk-quiet" });
    const finish = (rules, atTop) => { dialog.close(); add(rules, atTop); };

    function choose() {
        page("Add a rule", h("div", { class: "rk-presets" }, [...PRESETS.map((preset, at) => h(
            "button", {
                type: "button", class: "rk-preset", "data-preset": preset.id, "data-first": at === 0,
                onclick: () => (preset.asks.length || count() ? ask(preset) : finish([preset.make({})])),
            }, h("strong", {}, preset.title), h("span", {}, preset.text),
        )), h(
            "button", { type: "button", class: "rk-preset", "data-preset": "paste", onclick: paste },
            h("strong", {}, "Paste rules"), h("span", {}, "JSON from other systems, including Fliplet."),
        )]), h("div", { class: "rk-actions" }, cancel()));
    }

    function ask(preset) {
        const answers = {};
        const place = { top: Boolean(preset.first) };
        const note = h("p", { class: "rk-note rk-bad", role: "alert" });
        page(preset.title, h("p", {}, preset.text), ...preset.asks.map((wanted) => h(
            "div", { class: "rk-ask" }, h("span", { class: "rk-label" }, wanted.label, wanted.optional ? h("small", {}, "optional") : null),
            KINDS[wanted.kind](wanted, answers, offers),
        )), count() ? h(
            "div", { class: "rk-ask" }, h("span", { class: "rk-label" }, "Place"),
            select("Place", [["top", "before all other rules"], ["end", "after all other rules"]], place.top ? "top" : "end",
                (chosen) => { place.top = chosen === "top"; }),
        ) : null, note, h("div", { class: "rk-actions" }, button("Add the rule", () => {
            note.textContent = problem(preset, answers);
            if (!note.textContent) finish([preset.make(answers)], place.top);
        }, { class: "rk-button rk-primary" }), back()));
    }

    function paste() {
        const note = h("p", { class: "rk-note rk-bad", role: "alert" });
        const area = h("textarea", { class: "rk-code", rows: 10, "aria-label": "Rules as JSON", spellcheck: "false" });
        page("Paste rules", h("p", {}, "One rule or a list of rules. Small differences of other systems are converted. Anything that you must decide is listed."),
            area, note, h("div", { class: "rk-actions" }, button("Add the rules", () => {
                try {
                    const { rules, notes } = convert(area.value);
                    dialog.close();
                    add(rules, false, notes);
                } catch (error) { note.textContent = `${error.message}.`; }
            }, { class: "rk-button rk-primary" }), back()));
    }

    dialog.addEventListener("close", () => dialog.remove());
    return { open(parent) { parent.append(dialog); choose(); dialog.showModal(); dialog.querySelector("[data-first]")?.focus(); } };
}
