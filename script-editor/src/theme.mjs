// Colours from the page's own variables, so that light and dark come with the admin's.

import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { EditorView } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const look = EditorView.theme({
    "&": { color: "var(--rk-fg)", backgroundColor: "var(--rk-bg)", fontSize: "0.8125rem" },
    "&.cm-focused": { outline: "2px solid var(--rk-accent)", outlineOffset: "-2px" },
    ".cm-scroller": { fontFamily: "var(--rk-mono)", lineHeight: "1.5", maxHeight: "32rem" },
    ".cm-content, .cm-gutter": { minHeight: "12rem" },
    ".cm-content": { caretColor: "var(--rk-fg)" },
    ".cm-cursor": { borderLeftColor: "var(--rk-fg)" },
    ".cm-gutters": { color: "var(--rk-quiet)", backgroundColor: "var(--rk-raised)", borderRight: "1px solid var(--rk-line)" },
    ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--rk-accent) 8%, transparent)" },
    "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
        backgroundColor: "color-mix(in srgb, var(--rk-accent) 28%, transparent)",
    },
    ".cm-tooltip": { color: "var(--rk-fg)", backgroundColor: "var(--rk-bg)", border: "1px solid var(--rk-border)", borderRadius: "6px" },
    ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--rk-mono)" },
    ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { color: "#fff", backgroundColor: "var(--rk-primary)" },
    ".cm-completionDetail": { fontStyle: "normal", opacity: "0.75" },
    ".cm-completionInfo": { maxWidth: "22rem", padding: "6px 10px" },
    // CodeMirror's own marks are images in data: addresses.
    ".cm-lintRange": { backgroundImage: "none", paddingBottom: "0" },
    ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--rk-error)" },
    ".cm-lintRange-warning": { backgroundImage: "none", textDecoration: "underline wavy var(--rk-warning)" },
    ".cm-lintRange-info": { backgroundImage: "none", textDecoration: "underline dotted var(--rk-info)" },
    ".cm-lint-marker": { width: "1em", lineHeight: "1.5", textAlign: "center", fontWeight: "700" },
    ".cm-lint-marker-error": { content: "none", color: "var(--rk-error)" },
    ".cm-lint-marker-warning": { content: "none", color: "var(--rk-warning)" },
    ".cm-lint-marker-info": { content: "none", color: "var(--rk-info)" },
    ".cm-lint-marker::before": { content: "'●'" },
    ".cm-matchingBracket": { backgroundColor: "color-mix(in srgb, var(--rk-good) 25%, transparent)" },
});

const colours = HighlightStyle.define([
    { tag: [tags.keyword, tags.controlKeyword, tags.operatorKeyword], color: "var(--rk-accent)", fontWeight: "600" },
    { tag: [tags.string, tags.special(tags.string)], color: "var(--rk-good)" },
    { tag: [tags.number, tags.bool, tags.null], color: "var(--rk-warning)" },
    { tag: tags.comment, color: "var(--rk-quiet)", fontStyle: "italic" },
    { tag: [tags.function(tags.variableName), tags.propertyName], color: "var(--rk-info)" },
    { tag: tags.invalid, color: "var(--rk-error)" },
]);

export const theme = [look, syntaxHighlighting(colours)];
