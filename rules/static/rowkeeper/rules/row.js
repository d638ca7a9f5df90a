// One rule of the list: its description and controls, and below them its form or its JSON.

import { button, codeSpans, h, icon, iconButton, newId } from "./dom.js";
import { ruleForm } from "./form.js";
import { parse } from "./json.js";
import { DOES, OPERATIONS } from "./words.js";

const SEVERITIES = ["error", "warning", "info"];

// The text of a rule without the indentation that it has inside the list.
const dedent = (text) => text.replaceAll("\n  ", "\n");
const indent = (text) => text.replaceAll("\n", "\n  ");

export class Row {
    constructor(item, list) {
        this.item = item;
        this.list = list;
        this.listeners = [];
        this.problems = [];
        this.build();
    }

    build() {
        const { list, item } = this;
        const bodyId = newId();
        const word = (name, label, act) => iconButton(name, label, act);
        this.number = h("span", { class: "rk-number" });
        this.name = h("strong", {});
        this.words = h("span", { class: "rk-words" });
        this.operations = h("span", { class: "rk-operations" });
        this.marks = h("span", { class: "rk-marks" });
        this.opener = h(
            "button", { type: "button", class: "rk-opener", "aria-expanded": "false", "aria-controls": bodyId,
                onclick: () => this.toggle() },
            icon("open"), h("span", { class: "rk-text" }, this.name, this.words),
        );
        this.grip = h("span", { class: "rk-grip", title: "Drag to move", "aria-hidden": "true" }, icon("grip"));
        this.toggler = h("input", { type: "checkbox", role: "switch", class: "rk-switch", onchange: () => list.enable(item, this.toggler.checked) });
        this.up = word("up", "", () => list.step(item, -1));
        this.down = word("down", "", () => list.step(item, 1));
        this.problemList = h("ul", { class: "rk-problems" });
        this.paint = h("p", { class: "rk-paint", hidden: true });
        this.body = h("div", { class: "rk-body", id: bodyId, hidden: true });
        this.element = h(
            "li", { class: "rk-rule" },
            h("div", { class: "rk-head" }, this.grip, this.number, this.opener, this.operations, this.marks,
                h("span", { class: "rk-tools" }, this.toggler, this.up, this.down)),
            this.paint, this.problemList, this.body,
        );
        list.draggable(this);
    }

    // -- the closed row

    update(position, count, summary) {
        const { item } = this;
        const map = item.value instanceof Map ? item.value : null;
        const label = `rule ${position}`;
        const name = map?.get("name");
        const on = map?.get("enabled") !== false;
        this.position = position;
        this.number.textContent = position;
        this.name.textContent = typeof name === "string" ? name : "";
        this.words.textContent = summary?.words ?? (map ? "…" : "This is not a rule: see its JSON.");
        this.operations.replaceChildren(...(summary?.operations ?? []).filter((o) => OPERATIONS.includes(o))
            .map((operation) => h("span", { class: `rk-badge rk-${operation}` }, DOES[operation])));
        this.toggler.checked = on;
        this.toggler.disabled = !map;
        this.toggler.setAttribute("aria-label", `Rule ${position} is on`);
        this.toggler.title = on ? "On" : "Off";
        for (const [tool, words, at] of [[this.up, "up", position > 1], [this.down, "down", position < count]]) {
            tool.setAttribute("aria-label", `Move ${label} ${words}`);
            tool.title = `Move ${words}`;
            tool.setAttribute("aria-disabled", String(!at));
        }
        this.element.classList.toggle("rk-off", !on);
        this.element.setAttribute("aria-label", `Rule ${position}`);
    }

    showProblems(problems) {
        this.problems = problems;
        this.problemList.replaceChildren(...problems.map((problem) => this.list.problemLine(problem)));
        this.problemList.hidden = !problems.length;
        const worst = SEVERITIES.find((severity) => problems.some((p) => p.severity === severity));
        this.element.dataset.severity = worst ?? "";
        this.mark();
        for (const listener of this.listeners) listener(problems);
    }

    // The part of the form that a problem is about.
    mark() {
        for (const part of this.body.querySelectorAll("[data-property]")) {
            const names = part.dataset.property.split(" ");
            const own = this.problems.filter((p) => names.includes(p.path.split(/[.[]/)[0]));
            part.dataset.severity = SEVERITIES.find((s) => own.some((p) => p.severity === s)) ?? "";
        }
    }

    showPaint(lines) {
        this.paint.hidden = !lines.length;
        this.paint.replaceChildren(...codeSpans(lines.map((line) => line.text).join(" ")));
        this.element.dataset.painted = lines.some((line) => line.granted) ? "granted" : lines.length ? "passed" : "";
    }

    // -- the open row

    toggle(open = this.body.hidden, mode = this.mode) {
        this.body.hidden = !open;
        this.opener.setAttribute("aria-expanded", String(open));
        this.element.classList.toggle("rk-open", open);
        this.listeners = [];
        if (open) this.fill(mode); else this.body.replaceChildren();
    }

    fill(mode = "form") {
        const map = this.item.value instanceof Map;
        this.mode = map ? mode : "json";
        this.listeners = [];
        const tab = (name, text) => button(text, () => { this.fill(name); this.body.querySelector(`[data-tab=${name}]`).focus(); }, {
            class: "rk-tab", "data-tab": name, "aria-pressed": String(this.mode === name), disabled: name === "form" && !map,
        });
        this.body.replaceChildren(
            h("div", { class: "rk-bar" },
                h("span", { class: "rk-tabs", role: "group", "aria-label": "How to edit the rule" }, tab("form", "Form"), tab("json", "JSON")),
                button("Duplicate", () => this.list.duplicate(this.item), { class: "rk-button rk-quiet" }),
                button("Delete", () => this.list.remove(this.item), { class: "rk-button rk-quiet rk-danger" })),
            this.mode === "form" ? this.form() : this.json(),
        );
        this.mark();
    }

    form() {
        return ruleForm(this.item.value, {
            offers: this.list.offers,
            changed: () => this.list.edited(this.item),
            problems: () => this.problems,
            onProblems: (listener) => this.listeners.push(listener),
        });
    }

    json() {
        const note = h("span", { class: "rk-note rk-bad", role: "status" });
        const area = h("textarea", {
            class: "rk-code", "aria-label": `Rule ${this.position} as JSON`, spellcheck: "false",
            value: dedent(this.item.text), rows: Math.min(24, this.item.text.split("\n").length + 1),
            oninput: () => {
                let value = null;
                try {
                    value = parse(area.value);
                    note.textContent = "";
                } catch (error) { note.textContent = `${error.message}.`; }
                this.list.typed(this.item, indent(area.value), value);
            },
        });
        return h("div", {}, area, note);
    }

    // Redraw an open row after the rule was changed elsewhere.
    refill() {
        if (!this.body.hidden) this.fill(this.mode);
    }
}
