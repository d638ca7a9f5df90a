// The editor of the access rules, above the text area that is submitted. The text area has the list
// that counts. Rules that nobody changes keep their exact text. Without this file, the text area
// still works.
//
// On the text area, `rowkeeper:rules` (detail: { text }) is sent after every change, and `rowkeeper:paint`
// (detail: { lines: [{ position, text, granted }] } or null) shows the reason of each rule on its row.

import { Checks } from "./checks.js";
import { makeDraggable } from "./drag.js";
import { button, codeSpans, h, icon } from "./dom.js";
import { setProperty } from "./form.js";
import { parseList, write, writeList } from "./json.js";
import { offersOf } from "./offers.js";
import { convert } from "./paste.js";
import { presetDialog } from "./presets.js";
import { Row } from "./row.js";
import { DOES, OPERATIONS } from "./words.js";

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

// Remembers for the next page whether the JSON is collapsed, if the browser allows it.
const FOLDED = "rowkeeper-rules-json";
const folded = {
    get() { try { return localStorage.getItem(FOLDED) === "folded"; } catch { return false; } },
    set(now) { try { localStorage.setItem(FOLDED, now ? "folded" : "open"); } catch { /* then not */ } },
};

export class RuleList {
    constructor(area) {
        const data = JSON.parse(area.dataset.rowkeeperRules);
        this.area = area;
        this.items = [];
        this.rows = new Map();
        this.said = new Map();
        this.past = [];
        this.filter = "";
        this.offers = offersOf(data, document.getElementById("id_columns"), () => this.items.map((item) => item.value));
        this.checks = new Checks(data.check, data.dataSource, this.offers.columnNames, area.form, (answer, text) => this.showAnswer(answer, text));
        this.build();
        this.read();
        this.checks.ask(this.area.value);
        document.getElementById("id_columns")?.addEventListener("input", () => this.checks.soon(this.area.value));
        area.addEventListener("input", () => this.read(true));
        area.addEventListener("paste", () => setTimeout(() => this.offerConversion()));
        area.addEventListener("rowkeeper:paint", ({ detail }) => this.paint(detail));
    }

    build() {
        this.chips = new Map(OPERATIONS.map((operation) => [operation, h(
            "button", { type: "button", class: `rk-access rk-${operation}`, "aria-pressed": "false", "data-operation": operation,
                onclick: () => this.filterBy(this.filter === operation ? "" : operation) },
            h("strong", {}, DOES[operation]), h("span", {}, "…"),
        )]));
        this.notes = h("div", { class: "rk-notes" });
        this.list = h("ol", { class: "rk-list", "aria-label": "Access rules, in the order in which they are tried" });
        this.empty = h("p", { class: "rk-empty" });
        this.status = h("p", { class: "rowkeeper-hidden", role: "status" });
        this.undoer = button("Undo", () => this.undo(), { class: "rk-button rk-quiet", disabled: true });
        this.adder = h("button", { type: "button", class: "rk-button rk-primary rk-add", onclick: () => this.openPresets() }, icon("plus"), "Add a rule");
        this.json = h("details", { class: "rk-json", open: !folded.get() }, h("summary", {}, "All rules as JSON"));
        this.json.addEventListener("toggle", () => folded.set(!this.json.open));
        this.root = h(
            "div", { class: "rowkeeper-rules", onkeydown: (event) => {
                if (event.key === "Enter" && event.target.matches("input:not([type=checkbox], [type=radio])")) event.preventDefault();
            } },
            h("div", { class: "rk-accesses", role: "group", "aria-label": "Who gets in; press one to see only its rules" }, [...this.chips.values()]),
            this.notes, this.list, this.empty,
            h("div", { class: "rk-actions" }, this.adder, this.undoer), this.status,
        );
        this.area.before(this.root);
        this.root.append(this.json);
        this.json.append(this.area);
        for (const shown of document.querySelectorAll("[data-rowkeeper-words]")) shown.hidden = true;
    }

    say(text) { this.status.textContent = text; }

    // -- from the text, and to it

    read(changed = false) {
        let found;
        try {
            found = parseList(this.area.value);
        } catch (error) {
            this.broken(`The rules cannot be read: ${error.message}.`, changed);
            return;
        }
        this.broken("");
        const old = [...this.items];
        const same = found.map(({ text }) => {
            const at = old.findIndex((item) => item && item.text === text);
            return at < 0 ? null : old.splice(at, 1, null)[0];
        });
        this.items = found.map(({ text, value }, at) => {
            if (same[at]) return same[at];
            const item = this.items.length === found.length ? old[at] : null;
            if (!item) return { text, value };
            Object.assign(item, { text, value });
            this.rows.get(item)?.refill();
            return item;
        });
        this.draw();
        if (changed) this.changed();
    }

    broken(why, changed) {
        this.unread = why;
        this.list.inert = Boolean(why);
        this.root.classList.toggle("rk-unread", Boolean(why));
        if (!why) { if (this.notes.dataset.of === "unread") this.note(null); return; }
        this.note([why, " The list shows how they were before."], "error", "unread");
        if (changed) this.changed();
    }

    // Rewrite the text of the list. Items that did not change keep their text.
    commit(before = this.area.value) {
        const now = Date.now();
        if (!this.past.length || now - this.at > 1000) this.past.push(before);
        this.at = now;
        this.area.value = writeList(this.items.map((item) => item.text));
        this.draw();
        this.changed();
    }

    changed() {
        this.undoer.disabled = !this.past.length;
        this.paint(null);
        this.checks.soon(this.area.value);
        this.area.dispatchEvent(new CustomEvent("rowkeeper:rules", { bubbles: true, detail: { text: this.area.value } }));
    }

    replace(text, words) {
        this.past.push(this.area.value);
        this.at = 0;
        this.area.value = text;
        this.read(true);
        this.say(words);
    }

    // Apply a fix of the server. Rules that it did not change keep their text.
    applyFix(text, words) {
        const kept = new Map(this.items.map((item) => [write(item.value), item.text]));
        const texts = parseList(text).map((item) => kept.get(write(item.value)) ?? item.text);
        this.replace(writeList(texts), words);
    }

    undo() {
        const text = this.past.pop();
        if (text === undefined) return;
        this.area.value = text;
        this.at = 0;
        this.read(true);
        this.say("Undone.");
    }

    // -- changes

    edited(item) {
        item.text = write(item.value);
        this.commit();
    }

    // The JSON of one rule while the user types: it can be invalid, or contain several rules.
    typed(item, text, value) {
        let several = null;
        if (value === null) {
            try { several = parseList(`[${text}]`); } catch { /* still being typed */ }
        }
        if (several?.length > 1) {
            this.items.splice(this.items.indexOf(item), 1, ...several);
        } else Object.assign(item, { text, value: value ?? item.value });
        this.commit();
    }

    enable(item, on) {
        if (on && item.value.get("enabled") === false) item.value.set("enabled", true);
        if (!on) setProperty(item.value, "enabled", false);
        this.edited(item);
        this.rows.get(item).refill();
        this.say(`Rule ${this.items.indexOf(item) + 1} is ${on ? "on" : "off"}.`);
    }

    visible() { return this.items.filter((item) => !this.rows.get(item).element.hidden); }

    step(item, by) {
        const shown = this.visible();
        const other = shown[shown.indexOf(item) + by];
        if (other) this.move(item, this.items.indexOf(other));
        else this.say(`Rule ${this.items.indexOf(item) + 1} is already the ${by < 0 ? "first" : "last"}.`);
    }

    move(item, to) {
        const from = this.items.indexOf(item);
        const focused = document.activeElement;
        this.items.splice(from, 1);
        this.items.splice(to, 0, item);
        this.at = 0;
        this.commit();
        if (this.root.contains(focused)) focused.focus();
        this.say(`Rule ${from + 1} is now rule ${to + 1} of ${this.items.length}.`);
    }

    draggable(row) {
        makeDraggable(row.grip, row.element, {
            may: () => !this.unread,
            dropped: (to) => this.move(row.item, to),
        });
    }

    add(values, atTop, notes = []) {
        const made = values.map((value) => ({ value, text: write(value) }));
        this.items.splice(atTop ? 0 : this.items.length, 0, ...made);
        this.at = 0;
        this.commit();
        this.filterBy("");
        if (notes.length) this.note(notes, "info", "paste");
        const first = this.rows.get(made[0]);
        if (made.length === 1) first.toggle(true, "form");
        first?.opener.focus();
        this.say(made.length === 1 ? `Rule ${first.position} was added.` : `${plural(made.length, "rule")} were added.`);
    }

    duplicate(item) {
        const [copy] = parseList(`[${item.text}]`);
        this.items.splice(this.items.indexOf(item) + 1, 0, copy);
        this.at = 0;
        this.commit();
        this.rows.get(copy).opener.focus();
        this.say(`Rule ${this.items.indexOf(copy) + 1} is a copy of the previous rule.`);
    }

    remove(item) {
        const at = this.items.indexOf(item);
        this.items.splice(at, 1);
        this.at = 0;
        this.commit();
        const next = this.items[Math.min(at, this.items.length - 1)];
        (next ? this.rows.get(next).opener : this.adder).focus();
        this.say(`Rule ${at + 1} was deleted. Undo brings it back.`);
    }

    openPresets() {
        if (this.unread) { this.say(this.unread); return; }
        presetDialog(this.offers, () => this.items.length, (...added) => this.add(...added)).open(this.root);
    }

    offerConversion() {
        let found;
        try { found = convert(this.area.value); } catch { return; }
        if (!found.notes.length) return;
        this.note(found.notes, "info", "paste", button("Convert", () => {
            this.note(null);
            this.replace(writeList(found.rules.map((rule) => write(rule))), "The rules were converted.");
        }));
    }

    // -- what is shown

    // The text area grows with its content, including wrapped lines, up to a limit.
    fit() {
        const lines = this.area.value.split("\n").reduce((sum, line) => sum + 1 + Math.floor(line.length / 80), 1);
        this.area.rows = Math.min(Math.max(lines, 5), 14);
    }

    draw() {
        this.fit();
        const held = new Set(this.items);
        for (const [item, row] of this.rows) {
            if (!held.has(item)) { row.element.remove(); this.rows.delete(item); }
        }
        this.items.forEach((item, at) => {
            if (!this.rows.has(item)) this.rows.set(item, new Row(item, this));
            const { element } = this.rows.get(item);
            if (this.list.children[at] !== element) this.list.insertBefore(element, this.list.children[at] ?? null);
        });
        this.label();
    }

    label() {
        this.items.forEach((item, at) => {
            const row = this.rows.get(item);
            row.update(at + 1, this.items.length, this.said.get(item.text));
            row.element.hidden = Boolean(this.filter) && !this.operationsOf(item).includes(this.filter);
        });
        const shown = this.visible().length;
        this.empty.textContent = !this.items.length ? "There are no rules: nobody gets in."
            : shown < this.items.length ? `${plural(this.items.length - shown, "rule")} for other operations ${this.items.length - shown === 1 ? "is" : "are"} not shown.` : "";
    }

    operationsOf(item) {
        const operations = this.said.get(item.text)?.operations;
        if (operations?.length) return operations;
        const named = item.value instanceof Map && !item.value.has("script") ? item.value.get("type") : null;
        return Array.isArray(named) ? named : OPERATIONS;
    }

    filterBy(operation) {
        this.filter = operation;
        for (const [name, chip] of this.chips) chip.setAttribute("aria-pressed", String(name === operation));
        this.label();
        const count = plural(this.visible().length, "rule");
        this.say(operation ? `${count} about “${DOES[operation]}”.` : `All rules are shown: ${count}.`);
    }

    showAnswer(answer, text) {
        if (!answer) {
            this.note(["The rules could not be checked at the moment. They will be checked when they are saved."], "info", "checks");
            return;
        }
        if (this.notes.dataset.of === "checks") this.note(null);
        if (text !== this.area.value || this.unread) return;
        this.items.forEach((item, at) => answer.rules[at] && this.said.set(item.text, answer.rules[at]));
        for (const [operation, chip] of this.chips) {
            const words = answer.access[operation] ?? "nobody";
            chip.lastChild.textContent = words;
            chip.title = `${DOES[operation]}: ${words}`;
        }
        this.label();
        this.items.forEach((item, at) => this.rows.get(item).showProblems(answer.problems.filter((p) => p.rule === at + 1)));
        // That nobody gets in without a rule is said below the list.
        const whole = answer.problems.filter((problem) => !problem.rule && this.items.length);
        if (whole.length) this.note(whole.map((problem) => this.problemLine(problem)), "plain", "list");
        else if (this.notes.dataset.of === "list") this.note(null);
    }

    problemLine(problem) {
        const { severity, path, message, fix } = problem;
        return h(
            "li", { class: `rk-problem rk-${severity}` }, icon(severity),
            h("span", { class: "rowkeeper-hidden" }, `${severity}: `),
            h("span", {}, path ? h("code", {}, path) : null, path ? " " : null, codeSpans(message)),
            fix ? button(h("span", {}, codeSpans(fix.label)), () => this.applyFix(fix.rules, `${fix.label}: done.`), { class: "rk-button rk-quiet rk-fix" }) : null,
        );
    }

    note(lines, kind, of, ...more) {
        this.notes.dataset.of = of ?? "";
        if (!lines) { this.notes.replaceChildren(); return; }
        const close = of === "paste" ? button("Dismiss", () => this.note(null), { class: "rk-button rk-quiet" }) : null;
        const items = lines.map((line) => (typeof line === "string" ? h("li", {}, line) : line));
        this.notes.replaceChildren(h("div", { class: `rk-message rk-${kind}`, role: "status" }, h("ul", {}, items), ...more, close));
    }

    paint(detail) {
        this.items.forEach((item, at) => {
            this.rows.get(item)?.showPaint((detail?.lines ?? []).filter((line) => line.position === at + 1));
        });
    }
}

export function start(root = document) {
    for (const area of root.querySelectorAll("textarea[data-rowkeeper-rules]")) {
        if (!area.rowkeeperRules) area.rowkeeperRules = new RuleList(area);
    }
}

start();
