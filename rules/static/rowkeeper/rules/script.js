// A script in an editor of its own, which is loaded only once a script is shown. Where it cannot be
// loaded, a text area does.

import { h } from "./dom.js";

let loading = null;

const load = (address) => (loading ??= import(address).catch((error) => { loading = null; throw error; }));

const PLACE = /^line (\d+), column (\d+): /;

// The problems that name a place in the script.
const ofScript = (problems) => problems.flatMap((problem) => {
    const place = problem.path === "script" && PLACE.exec(problem.message);
    if (!place) return [];
    const [words, line, column] = place;
    return [{ ...problem, message: problem.message.slice(words.length), line: Number(line), column: Number(column) }];
});

export function scriptField(text, context, onchange) {
    const area = h("textarea", {
        class: "rk-code", rows: 12, "aria-label": "Script", spellcheck: "false", value: text,
        oninput: () => onchange(area.value),
    });
    const node = h("div", { class: "rk-script" }, area);
    context.onProblems((problems) => node.dispatchEvent(new CustomEvent("rk-problems", { detail: ofScript(problems) })));
    load(context.offers.scriptEditor).then(({ openEditor }) => {
        const focused = document.activeElement === area;
        const host = h("div", { class: "rk-script-host" });
        area.replaceWith(host);
        const opened = openEditor(host, {
            text: area.value, label: "Script", onchange,
            dataSources: context.offers.dataSources(), columns: () => context.offers.columns().map(({ value }) => value),
            fields: () => context.offers.session().map(({ value }) => value),
        });
        opened.show(ofScript(context.problems()));
        node.addEventListener("rk-problems", ({ detail }) => opened.show(detail));
        if (focused) opened.focus();
    }, () => { /* the text area stays */ });
    return node;
}
