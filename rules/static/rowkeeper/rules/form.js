// One rule as a form. A property that the form has no words for stays JSON, by itself.

import { chips } from "./combobox.js";
import { rawField, requirements, userConditions } from "./conditions.js";
import { button, h, newId, radios, redraw } from "./dom.js";
import { Raw, insertBefore } from "./json.js";
import { scriptField } from "./script.js";
import { DOES, OPERATIONS, PROPERTIES } from "./words.js";

const START = `if not user:
    return {"granted": False}
if type == "select":
    return {"granted": True}
return {"granted": False}
`;

export function setProperty(rule, name, value) {
    if (value === undefined) rule.delete(name);
    else insertBefore(rule, PROPERTIES.slice(PROPERTIES.indexOf(name) + 1), name, value);
}

const texts = (value) => Array.isArray(value) && value.every((item) => typeof item === "string");
const ids = (value) => Array.isArray(value) && value.every((item) => item instanceof Raw);

function section(property, legend, ...children) {
    const id = newId();
    return h(
        "div", { class: "rk-section", role: "group", "aria-labelledby": id, "data-property": property },
        h("span", { class: "rk-label", id }, legend), h("div", { class: "rk-fields" }, ...children),
    );
}

// -- the properties

function nameField(rule, context) {
    const held = rule.get("name");
    if (held !== undefined && typeof held !== "string") return leftover(rule, "name", context);
    const id = newId();
    return h(
        "div", { class: "rk-section", "data-property": "name" },
        h("label", { class: "rk-label", for: id }, "Name"),
        h("input", {
            id, type: "text", class: "rk-input rk-name", value: held ?? "", maxlength: 255, autocomplete: "off",
            placeholder: "A name for people (optional)",
            oninput: ({ target }) => { setProperty(rule, "name", target.value || undefined); context.changed(); },
        }),
    );
}

function typeField(rule, context) {
    const held = rule.get("type") ?? [];
    if (!texts(held) || !held.every((item) => OPERATIONS.includes(item)) || new Set(held).size < held.length) {
        return leftover(rule, "type", context);
    }
    const toggle = (operation, on) => {
        const now = rule.get("type") ?? [];
        const later = OPERATIONS.slice(OPERATIONS.indexOf(operation));
        const at = now.findIndex((item) => later.includes(item));
        if (!on) now.splice(now.indexOf(operation), 1);
        else now.splice(at < 0 ? now.length : at, 0, operation);
        setProperty(rule, "type", now);
        context.changed();
        context.redraw("require");
    };
    return section("type", "What", h(
        "div", { class: "rk-radios" },
        OPERATIONS.map((operation) => h(
            "label", {},
            h("input", {
                type: "checkbox", value: operation, checked: held.includes(operation),
                onchange: ({ target }) => toggle(operation, target.checked),
            }),
            h("span", {}, DOES[operation]),
        )),
    ));
}

// Ids as chips, with the names of those that are known.
function idChips(label, list, offered, context, placeholder) {
    const named = (id) => offered().find((option) => option.value === id);
    return chips({
        label, placeholder, options: offered,
        items: () => list.map((item) => ({ value: item.raw, label: named(item.raw)?.label ?? `${label} ${item.raw}` })),
        add: (value) => {
            const id = offered().find((option) => option.label === value)?.value ?? value.trim();
            list.push(/^[1-9][0-9]*$/.test(id) ? new Raw(id) : value);
            context.changed();
            if (!ids(list)) context.redraw();
        },
        remove: (value) => { list.splice(list.findIndex((item) => item.raw === value), 1); context.changed(); },
    });
}

function kindOfAllow(allow) {
    if (allow === undefined) return "";
    if (allow === "all" || allow === "loggedIn") return allow;
    if (!(allow instanceof Map) || allow.size !== 1) return null;
    if (allow.get("user") instanceof Map) return "user";
    return ids(allow.get("tokens")) ? "tokens" : null;
}

function allowField(rule, context) {
    const kind = kindOfAllow(rule.get("allow"));
    if (kind === null) return leftover(rule, "allow", context);
    const kept = { all: "all", loggedIn: "loggedIn", user: undefined, tokens: undefined, [kind]: rule.get("allow") };
    const body = h("div");
    const draw = (shown) => {
        const allow = rule.get("allow");
        body.replaceChildren(...(shown === "user" ? [userConditions(allow.get("user"), context)]
            : shown === "tokens" ? [idChips("Token", allow.get("tokens"), context.offers.tokens, context, "Token or its id")]
            : []));
    };
    draw(kind);
    return section("allow", "Who", radios("Who", [
        ["all", "Everyone"], ["loggedIn", "Everyone signed in"], ["user", "Signed in, and…"], ["tokens", "API tokens"],
    ], kind, (chosen) => {
        kept[chosen] ??= chosen === "user"
            ? new Map([["user", new Map([["", new Map([["equals", ""]])]])]])
            : new Map([["tokens", []]]);
        setProperty(rule, "allow", kept[chosen]);
        draw(chosen);
        context.changed();
    }), body);
}

function columnsField(rule, context) {
    const both = rule.has("include") && rule.has("exclude");
    for (const name of ["include", "exclude"]) {
        if (rule.has(name) && !texts(rule.get(name))) return leftover(rule, name, context);
    }
    const kept = {};
    const body = h("div");
    const draw = (mode) => {
        const list = rule.get(mode);
        body.replaceChildren(...(mode ? [chips({
            label: mode === "include" ? "Only these columns" : "All columns but these", placeholder: "Column",
            options: context.offers.columns, items: () => list.map((value) => ({ value })),
            add: (value) => { list.push(value); context.changed(); },
            remove: (value) => { list.splice(list.indexOf(value), 1); context.changed(); },
        })] : []));
    };
    const mode = rule.has("include") ? "include" : rule.has("exclude") ? "exclude" : "";
    draw(mode);
    return section("include exclude", "Columns", radios("Columns", [
        ["", "All"], ["exclude", "All but…"], ["include", "Only…"],
    ], mode, (chosen) => {
        for (const name of ["include", "exclude"]) {
            if (name === chosen) continue;
            kept[name] = rule.get(name) ?? kept[name];
            rule.delete(name);
        }
        if (chosen) setProperty(rule, chosen, rule.get(chosen) ?? kept[chosen] ?? []);
        draw(chosen);
        context.changed();
        if (both) context.redraw();
    }), body, both ? leftover(rule, "exclude", context, "has no effect if the rule has `include`") : null);
}

function requireField(rule, context) {
    const held = rule.get("require");
    if (held !== undefined && !Array.isArray(held)) return leftover(rule, "require", context);
    const list = held ?? [];
    return section("require", "Only if", requirements(list, {
        ...context,
        updates: () => texts(rule.get("type")) && rule.get("type").includes("update"),
        changed: () => {
            setProperty(rule, "require", list.length ? list : undefined);
            context.changed();
        },
    }));
}

function appsField(rule, context) {
    const held = rule.get("appId");
    if (held !== undefined && !ids(held)) return leftover(rule, "appId", context);
    const body = h("div");
    let kept = held;
    const draw = () => body.replaceChildren(...(rule.has("appId")
        ? [idChips("App", rule.get("appId"), context.offers.apps, context, "App or its id")] : []));
    draw();
    return section("appId", "Apps", radios("Apps", [["", "Any, or none"], ["only", "Only…"]], held ? "only" : "", (chosen) => {
        kept = rule.get("appId") ?? kept ?? [];
        setProperty(rule, "appId", chosen ? kept : undefined);
        draw();
        context.changed();
    }), body);
}

function leftover(rule, name, context, why = "") {
    return h(
        "div", { class: "rk-section", "data-property": name },
        h("span", { class: "rk-label" }, h("code", {}, name)),
        h("div", { class: "rk-fields" }, rawField(why ? `\`${name}\` ${why}` : `\`${name}\``, rule.get(name), (value) => {
            rule.set(name, value);
            context.changed();
        }),
        button(`Remove \`${name}\``, () => { rule.delete(name); context.changed(); context.redraw(); }, { class: "rk-button rk-quiet" })),
    );
}

function scriptSection(rule, context) {
    const ignored = PROPERTIES.slice(2, -1).filter((name) => name !== "appId" && rule.has(name));
    return section(
        "script", "Script",
        scriptField(rule.get("script"), context, (text) => { rule.set("script", text); context.changed(); }),
        ignored.length
            ? h("p", { class: "rk-note" }, `Only the script decides: ${ignored.map((name) => `\`${name}\``).join(", ")} of this rule have no effect.`)
            : null,
        button("Decide without a script", () => {
            rule.delete("script");
            for (const [name, value] of [["allow", "loggedIn"], ["type", ["select"]]]) {
                if (!rule.has(name)) setProperty(rule, name, value);
            }
            context.changed();
            context.redraw();
        }, { class: "rk-button rk-quiet" }),
    );
}

// The form; `context` holds what is offered, and `changed`, which is called after every change.
export function ruleForm(rule, context) {
    const node = h("div", { class: "rk-form" });
    const require = h("div", { class: "rk-slot" });
    const own = {
        ...context,
        redraw: (part) => (part ? require.replaceChildren(requireField(rule, own)) : draw()),
    };
    function fields() {
        const strange = [...rule.keys()].filter((name) => !PROPERTIES.includes(name));
        const rest = [appsField(rule, own), ...strange.map((name) => leftover(rule, name, own, "is not a property of a rule;"))];
        if (rule.has("script")) {
            const plain = typeof rule.get("script") === "string";
            return [nameField(rule, own), plain ? scriptSection(rule, own) : leftover(rule, "script", own), ...rest];
        }
        require.replaceChildren(requireField(rule, own));
        return [
            nameField(rule, own), typeField(rule, own), allowField(rule, own), require, columnsField(rule, own), ...rest,
            button("Decide by a script instead", () => {
                setProperty(rule, "script", START);
                own.changed();
                own.redraw();
            }, { class: "rk-button rk-quiet" }),
        ];
    }
    function draw() { redraw(node, fields()); }
    draw();
    return node;
}
