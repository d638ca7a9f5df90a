// A text field that suggests values while the user types: the combobox of the ARIA patterns.

import { h, newId } from "./dom.js";

const MOST = 100;

// `options()` gives [{ value, label, hint }]; `onpick(value)` is called with the value that was chosen or typed,
// `oninput(value)` with the text after each key.
export function combobox({ label, value = "", options, onpick, oninput, placeholder, name, clears }) {
    const listId = newId();
    const list = h("ul", { id: listId, role: "listbox", class: "rk-options", "aria-label": label, hidden: true });
    const input = h("input", {
        type: "text", role: "combobox", class: "rk-input", value, placeholder, "data-rk": name,
        "aria-label": label, "aria-expanded": "false", "aria-controls": listId,
        "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false",
    });
    const box = h("span", { class: "rk-combobox" }, input, list);
    let reported = value;
    let active = -1;

    function close() {
        list.hidden = true;
        active = -1;
        input.setAttribute("aria-expanded", "false");
        input.removeAttribute("aria-activedescendant");
    }

    function open(wanted) {
        const letters = wanted.trim().toLowerCase();
        const found = options().filter((option) =>
            `${option.value} ${option.label ?? ""}`.toLowerCase().includes(letters));
        list.replaceChildren(...found.slice(0, MOST).map((option) => h(
            "li",
            {
                role: "option", id: newId(), "data-value": option.value, "aria-selected": "false",
                onpointerdown: (event) => event.preventDefault(), // keep the focus in the field
                onclick: () => choose(option.value),
            },
            h("bdi", {}, option.label ?? option.value),
            option.hint ? h("small", {}, option.hint) : null,
        )));
        active = -1;
        list.hidden = !found.length;
        input.setAttribute("aria-expanded", String(!list.hidden));
    }

    function point(step) {
        if (list.hidden) open("");
        const all = [...list.children];
        if (!all.length) return;
        active = (active + step + all.length) % all.length;
        all.forEach((item, at) => item.setAttribute("aria-selected", String(at === active)));
        all[active].scrollIntoView({ block: "nearest" });
        input.setAttribute("aria-activedescendant", all[active].id);
    }

    function report() {
        if (input.value === reported) return;
        reported = input.value;
        onpick?.(reported);
    }

    // `left`: the field has lost the focus, which must not be taken back.
    function choose(chosen, left = false) {
        input.value = chosen;
        close();
        oninput?.(chosen);
        if (!clears) { report(); return; }
        input.value = reported = "";
        onpick(chosen, left);
    }

    input.addEventListener("click", () => (list.hidden ? open("") : close()));
    input.addEventListener("input", () => { open(input.value); oninput?.(input.value); });
    input.addEventListener("blur", () => {
        close();
        if (clears && input.value.trim()) choose(input.value, true);
        else if (!clears) report();
    });
    input.addEventListener("keydown", (event) => {
        if (event.key === "ArrowDown" || event.key === "ArrowUp") point(event.key === "ArrowDown" ? 1 : -1);
        else if (event.key === "Enter" && active >= 0) choose(list.children[active].dataset.value);
        else if (event.key === "Enter" && input.value) choose(input.value);
        else if (event.key === "Backspace" && clears && !input.value) { clears(); return; }
        else if (event.key === "Escape" && !list.hidden) { close(); event.stopPropagation(); }
        else return;
        event.preventDefault();
    });
    return box;
}

// Several values as chips, and a field that adds one. `items()` gives [{ value, label }].
export function chips({ label, items, options, add, remove, placeholder }) {
    const row = h("div", { class: "rk-chips", role: "group", "aria-label": label });
    const draw = (focus) => {
        const held = items();
        const taken = new Set(held.map((item) => item.value));
        row.replaceChildren(
            ...held.map((item) => h(
                "span", { class: "rk-chip" }, h("bdi", {}, item.label ?? item.value),
                h("button", {
                    type: "button", "aria-label": `Remove ${item.label ?? item.value}`,
                    onclick: () => { remove(item.value); draw(true); },
                }, "×"),
            )),
            combobox({
                label: `Add to: ${label}`, placeholder,
                clears: () => { if (held.length) { remove(held.at(-1).value); draw(true); } },
                options: () => options().filter((option) => !taken.has(option.value)),
                onpick: (value, left) => {
                    if (!value.trim() || taken.has(value)) return;
                    add(value);
                    draw(!left);
                },
            }),
        );
        if (focus) row.querySelector("input").focus();
    };
    draw(false);
    return row;
}
