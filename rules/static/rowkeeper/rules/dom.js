// Elements without HTML text and without style attributes, so that a strict CSP has nothing to say.

let last = 0;
export const newId = () => `rk-${++last}`;

// h("button", { class: "x", onclick: f, "aria-label": "…", hidden: false }, "text", node, null)
export function h(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
        else if (["value", "checked", "disabled", "hidden", "open"].includes(name)) made[name] = value;
        else if (value !== null && value !== undefined && value !== false) {
            made.setAttribute(name, value === true ? "" : value);
        }
    }
    made.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return made;
}

const PATHS = {
    grip: "M9 5h.01M9 12h.01M9 19h.01M15 5h.01M15 12h.01M15 19h.01",
    up: "M12 19V5M6 11l6-6 6 6",
    down: "M12 5v14M6 13l6 6 6-6",
    open: "M9 6l6 6-6 6",
    plus: "M12 5v14M5 12h14",
    close: "M6 6l12 12M18 6L6 18",
    error: "M12 8v5M12 16.5h.01M12 3l9.5 17h-19z",
    warning: "M12 8v5M12 16.5h.01M3 12a9 9 0 1 0 18 0a9 9 0 1 0-18 0",
    info: "M12 11v5M12 7.5h.01M3 12a9 9 0 1 0 18 0a9 9 0 1 0-18 0",
    check: "M5 12.5l4.5 4.5L19 7.5",
};

export function icon(name) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("class", `rk-icon rk-icon-${name}`);
    svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", PATHS[name]);
    svg.append(path);
    return svg;
}

export function button(text, onclick, attributes = {}) {
    return h("button", { type: "button", class: "rk-button", onclick, ...attributes }, text);
}

export function iconButton(name, label, onclick, attributes = {}) {
    return h(
        "button",
        { type: "button", class: "rk-icon-button", "aria-label": label, title: label, onclick, ...attributes },
        icon(name),
    );
}

export function select(label, options, value, onchange, attributes = {}) {
    const made = h(
        "select",
        { "aria-label": label, class: "rk-select", ...attributes },
        options.map(([key, text]) => h("option", { value: key }, text)),
    );
    made.value = value;
    made.addEventListener("change", () => onchange(made.value));
    return made;
}

// A text of the server's, in which `backquotes` set off what somebody wrote.
export const codeSpans = (text) => text.split(/`([^`]*)`/).map((part, at) => (at % 2 ? h("code", {}, part) : h("bdi", {}, part)));

// A group of radio buttons under a heading: `choices` are [key, text].
export function radios(legend, choices, chosen, onchange) {
    const name = newId();
    return h(
        "div",
        { class: "rk-radios", role: "radiogroup", "aria-label": legend },
        choices.map(([key, text]) => h(
            "label", {},
            h("input", {
                type: "radio", name, value: key, checked: key === chosen, onchange: () => onchange(key),
            }),
            h("span", {}, text),
        )),
    );
}

// The same node with other children, and the focus back on the control of the same name.
export function redraw(node, ...children) {
    const held = node.contains(document.activeElement) && document.activeElement.dataset.rk;
    node.replaceChildren(...children.flat().filter(Boolean));
    if (held) node.querySelector(`[data-rk="${CSS.escape(held)}"]`)?.focus();
}
