// Conditions, one a line: in `allow.user` on the user, in `require` on the data. What is changed is
// changed in place, so that all else of the rule stays as it was written.

import { combobox } from "./combobox.js";
import { h, iconButton, redraw, select } from "./dom.js";
import { Raw, isScalar, parse, rename, write } from "./json.js";
import { SIDES, TESTS, fieldOf, templateOf } from "./words.js";

const NUMBER = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$/;
const GIVEN = "given";

const testsIn = (tests) => [...tests.keys()].filter((key) => key !== "on");

const plainTests = (tests, sides) =>
    tests instanceof Map && testsIn(tests).length > 0 &&
    [...tests].every(([key, value]) =>
        (key in TESTS && isScalar(value)) ||
        (key === "on" && sides && typeof value === "string" && value !== "" && value in SIDES));

const plainItem = (item, sides) =>
    (sides && typeof item === "string") ||
    (item instanceof Map && item.size > 0 && [...item.values()].every((t) => plainTests(t, sides)));

// A piece of JSON that the form has no words for.
export function rawField(label, value, set) {
    const note = h("span", { class: "rk-note", role: "status" });
    const area = h("textarea", {
        class: "rk-code", rows: 2, "aria-label": `${label}, as JSON`, spellcheck: "false",
        value: write(value, 0, 0),
        oninput: () => {
            try {
                set(parse(area.value));
                note.textContent = "";
            } catch (error) {
                set(new Raw(area.value));
                note.textContent = error.message;
            }
        },
    });
    return h("div", { class: "rk-raw" }, h("small", {}, `${label}, as JSON`), area, note);
}

// -- the value of a condition

function kindOf(value) {
    if (value instanceof Raw || value === null) return "number";
    if (typeof value === "boolean") return "boolean";
    return fieldOf(value) === null ? "text" : "user";
}

function valueField(place, context) {
    const { value, set, column, label } = place;
    const kinds = [["text", "the text"], ["number", "the number"], ["boolean", "yes or no"]];
    if (context.sides || kindOf(value) === "user") kinds.unshift(["user", "the user's"]);
    const kind = kindOf(value);
    const cell = h("span", { class: "rk-value" });
    const starts = { user: "", text: "", number: new Raw("0"), boolean: true };
    const draw = (shown, now) => {
        const name = `${label}, value`;
        const fields = {
            user: () => combobox({
                label: name, name: `value-${label}`, value: fieldOf(now) ?? "", placeholder: "Field of the user",
                options: context.offers.session, oninput: (field) => set(field ? templateOf(field) : ""),
            }),
            text: () => combobox({
                label: name, name: `value-${label}`, value: typeof now === "string" ? now : "", placeholder: "Value",
                options: () => context.offers.values(column()), oninput: set,
            }),
            number: () => h("input", {
                type: "text", inputmode: "decimal", class: "rk-input", "aria-label": name,
                value: now instanceof Raw ? now.raw : "",
                oninput: ({ target }) => {
                    const good = NUMBER.test(target.value.trim());
                    target.setAttribute("aria-invalid", String(!good));
                    set(good ? new Raw(target.value.trim()) : null); // which is refused, not guessed at
                },
            }),
            boolean: () => select(name, [["true", "yes (true)"], ["false", "no (false)"]], String(now),
                (chosen) => set(chosen === "true")),
        };
        cell.replaceChildren(fields[shown]());
    };
    draw(kind, value);
    const chooser = select(`${label}, kind of value`, kinds, kind, (chosen) => {
        set(starts[chosen]);
        draw(chosen, starts[chosen]);
    });
    return [chooser, cell];
}

// -- one line

function line(place, context) {
    const given = place.test === GIVEN;
    const tests = Object.entries(TESTS);
    if (context.sides) tests.unshift([GIVEN, "is given"]);
    const { label } = place;
    return h(
        "div", { class: "rk-line", role: "group", "aria-label": label },
        combobox({
            label: `${label}, column`, name: `column-${label}`, value: place.column(),
            placeholder: context.sides ? "Column" : "Field of the user",
            options: context.sides ? context.offers.columns : context.offers.session,
            onpick: place.setColumn,
        }),
        select(`${label}, test`, tests, place.test, place.setTest, { "data-rk": `test-${label}` }),
        ...(given ? [] : valueField(place, context)),
        !given && context.sides && (place.side || context.updates())
            ? select(`${label}, looked at`, Object.entries(SIDES), place.side, place.setSide)
            : null,
        iconButton("close", `Remove ${label.toLowerCase()}`, place.remove),
    );
}

// The lines of an object of columns: `drop` takes the object away once it is empty, `apart` puts a
// condition elsewhere that has no room here.
function linesOf(map, context, { drop, apart, redo, count }) {
    const lines = [];
    for (const [column, tests] of map) {
        if (!plainTests(tests, context.sides)) {
            lines.push(rawField(`Conditions on ${column}`, tests, (value) => { map.set(column, value); context.changed(); }));
            continue;
        }
        for (const test of testsIn(tests)) {
            let named = column;
            const alone = () => testsIn(tests).length === 1;
            const take = () => {
                if (alone()) map.delete(named); else tests.delete(test);
            };
            const moved = (name, op) => {
                if (name === named && op !== GIVEN && !tests.has(op)) rename(tests, test, op);
                else if (op !== GIVEN && alone() && op === test && !map.has(name)) {
                    rename(map, named, name);
                    named = name;
                    context.changed();
                    return;
                } else {
                    const value = tests.get(test);
                    take();
                    apart(name, op, value, tests.get("on"));
                }
                if (!map.size) drop();
                redo();
            };
            lines.push(line({
                label: `Condition ${count()}`, test, value: tests.get(test), side: tests.get("on") ?? "",
                column: () => named,
                setColumn: (name) => moved(name, test),
                setTest: (op) => moved(named, op),
                set: (value) => { tests.set(test, value); context.changed(); },
                setSide: (side) => {
                    if (side) tests.set("on", side); else tests.delete("on");
                    context.changed();
                },
                remove: () => { take(); if (!map.size) drop(); redo(true); },
            }, context));
        }
    }
    return lines;
}

function editor(context, draw, add, words) {
    const node = h("div", { class: "rk-lines" });
    const adder = h("button", { type: "button", class: "rk-button rk-quiet", "data-rk": "add", onclick: () => {
        add();
        redo();
        [...node.querySelectorAll(".rk-line")].at(-1)?.querySelector("input").focus();
    } }, words);
    function redo(toAdder) {
        redraw(node, draw(redo), adder);
        if (toAdder) adder.focus();
        context.changed();
    }
    node.replaceChildren(...draw(redo), adder);
    return node;
}

// `allow.user`: all conditions in one object.
export function userConditions(user, context) {
    const own = { ...context, sides: false };
    const free = () => ["", " ", "  ", "   "].find((name) => !user.has(name)) ?? `${user.size}`;
    const draw = (redo) => {
        let number = 0;
        return linesOf(user, own, {
            drop: () => {}, redo, count: () => ++number,
            apart: (name, op, value) => {
                // A second condition of one kind on one column cannot be written in one object.
                const held = user.get(name);
                if (held instanceof Map && !held.has(op)) held.set(op, value);
                else user.set(held === undefined ? name : free(), new Map([[op, value]]));
            },
        });
    };
    return editor(own, draw, () => user.set(free(), new Map([["equals", ""]])), "Add a condition");
}

// `require`: a list of columns and of objects.
export function requirements(list, context) {
    const own = { ...context, sides: true };
    const item = (name, op, value, side) => (op === GIVEN ? name : new Map([[name, new Map([
        [op, value ?? ""], ...(side ? [["on", side]] : []),
    ])]]));
    const draw = (redo) => {
        let number = 0;
        const count = () => ++number;
        return list.flatMap((held, at) => {
            if (!plainItem(held, true)) {
                return [rawField(`Requirement ${count()}`, held, (value) => { list[at] = value; context.changed(); })];
            }
            if (typeof held === "string") {
                const label = `Condition ${count()}`;
                return [line({
                    label, test: GIVEN, value: "", side: "", column: () => list[at],
                    setColumn: (name) => { list[at] = name; context.changed(); },
                    setTest: (op) => { list[at] = item(list[at], op, ""); redo(); },
                    remove: () => { list.splice(at, 1); redo(true); },
                }, own)];
            }
            return linesOf(held, own, {
                redo, count,
                drop: () => { list.splice(list.indexOf(held), 1); },
                apart: (name, op, value, side) => {
                    list.splice(list.indexOf(held) + 1, 0, item(name, op, value, side));
                },
            });
        });
    };
    return editor(own, draw, () => list.push(item("", "equals", "")), "Add a requirement");
}
