// CodeMirror in a shadow root: its styles are adopted by that root, which no CSP minds.

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { pythonLanguage } from "@codemirror/lang-python";
import { LanguageSupport, bracketMatching, indentOnInput, indentUnit } from "@codemirror/language";
import { lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { completions } from "./complete.mjs";
import { theme } from "./theme.mjs";

const SEVERITIES = { error: "error", warning: "warning", info: "info" };

// A problem at a line and a column (from 1) of the script, as CodeMirror shows it.
function diagnostic(doc, { line, column, severity, message }) {
    const held = doc.line(Math.min(Math.max(line, 1), doc.lines));
    const from = Math.min(held.from + Math.max((column ?? 1) - 1, 0), held.to);
    const word = /^[\p{L}\p{N}_]+/u.exec(held.text.slice(from - held.from));
    const to = column ? from + (word ? word[0].length : 1) : held.to;
    return { from, to: Math.min(Math.max(to, from), held.to), severity: SEVERITIES[severity] ?? "info", message };
}

// Typing over a selection is done here: the browser would keep the look of what it replaces, by a style
// attribute, which a strict policy forbids.
const typeOver = EditorView.domEventHandlers({
    beforeinput(event, view) {
        const { from, to, empty } = view.state.selection.main;
        if (event.inputType !== "insertText" || event.isComposing || empty || event.data === null) return false;
        event.preventDefault();
        const insert = () => view.state.update({
            ...view.state.replaceSelection(event.data), userEvent: "input.type", scrollIntoView: true,
        });
        const handled = view.state.facet(EditorView.inputHandler)
            .some((handler) => handler(view, from, to, event.data, insert));
        if (!handled) view.dispatch(insert());
        return true;
    },
});

// Tab leaves the editor, as it leaves any field; Ctrl-] and Ctrl-[ indent.
export function openEditor(host, { text, label, onchange, ...page }) {
    const root = host.attachShadow({ mode: "open" });
    const view = new EditorView({
        parent: root,
        root,
        state: EditorState.create({
            doc: text,
            extensions: [
                lineNumbers(), lintGutter(), history(), drawSelection(), indentOnInput(), bracketMatching(),
                closeBrackets(), highlightActiveLine(), indentUnit.of("    "), EditorState.tabSize.of(4),
                new LanguageSupport(pythonLanguage), autocompletion({ override: completions(page), icons: false }),
                EditorView.lineWrapping, typeOver, EditorView.contentAttributes.of({ "aria-label": label }), theme,
                keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...completionKeymap, ...lintKeymap]),
                EditorView.updateListener.of((update) => {
                    if (update.docChanged) onchange(update.state.doc.toString());
                }),
            ],
        }),
    });
    return {
        view,
        focus: () => view.focus(),
        show: (problems) => view.dispatch(setDiagnostics(view.state, problems
            .filter((problem) => problem.line)
            .map((problem) => diagnostic(view.state.doc, problem)))),
    };
}
