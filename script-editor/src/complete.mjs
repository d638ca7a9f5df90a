// What a script can name: its variables, the columns and fields that the page knows, data sources.

import { completeFromList } from "@codemirror/autocomplete";
import { localCompletionSource } from "@codemirror/lang-python";

const variable = (label, detail, info) => ({ label, detail, info, type: "variable", boost: 10 });
const call = (label, detail, info) => ({ label, detail, info, type: "function", boost: 10 });

const VARIABLES = [
    variable("type", "text", "The operation: \"select\", \"insert\", \"update\" or \"delete\"."),
    variable("user", "record or None", "Who is signed in; None for nobody."),
    variable("query", "record, or a list of them", "The where of a select, the data of an insert or update, the stored data of a delete."),
    variable("entry", "record or None", "The entry that is updated: entry.id, entry.data."),
    variable("entries", "list or None", "In a commit: the stored entries of the updates, in the order of query."),
    call("DataSources", "(name or id)", "Another data source, read past all rules: find, find_one, count."),
    call("now", "() → text", "The time as ISO text, such as \"2026-01-31T12:00:00.000Z\"."),
    call("now_ms", "() → number", "The time in milliseconds since 1970."),
];

const WORDS = ["if", "elif", "else", "for", "in", "not", "and", "or", "return", "break", "continue", "pass",
    "is", "lambda", "def", "while", "try", "except", "raise", "True", "False", "None"]
    .map((label) => ({ label, type: "keyword" }));

const BUILTINS = ["abs", "all", "any", "bool", "dict", "enumerate", "float", "int", "isinstance", "len", "list",
    "max", "min", "range", "reversed", "round", "set", "sorted", "str", "sum", "tuple", "zip"]
    .map((label) => ({ label, type: "function" }));

const ANSWERS = [
    { label: "return {\"granted\": True}", type: "text", detail: "grants" },
    { label: "return {\"granted\": False}", type: "text", detail: "does not" },
    { label: "return {\"granted\": True, \"exclude\": []}", type: "text", detail: "grants, hides columns" },
];

const LOOKUPS = [
    call("find", "(where=…, limit=100, offset=0)", "A list of records: id, data."),
    call("find_one", "(where=…)", "One record, or None."),
    call("count", "(where=…)", "How many there are."),
];

const plain = /^[\p{L}_][\p{L}\p{N}_]*$/u;

// Names behind a dot; what is no Python name is written in brackets.
const members = (names, from, dot) => ({
    from,
    validFor: /^[\p{L}\p{N}_]*$/u,
    options: names.map((label) => (plain.test(label) ? { label, type: "property" } : {
        label, type: "property",
        apply: (view, completion, start, to) => view.dispatch({
            changes: { from: dot, to, insert: `[${JSON.stringify(label)}]` },
            selection: { anchor: dot + JSON.stringify(label).length + 2 },
        }),
    })),
});

const strings = (names, from) => ({ from, options: names.map((label) => ({ label, type: "text" })), validFor: /^[^"']*$/ });

// `page` gives dataSources, columns and fields: names that the page knows.
export function completions(page) {
    const rest = completeFromList([...VARIABLES, ...ANSWERS, ...WORDS, ...BUILTINS]);
    const own = (context) => {
        const within = context.matchBefore(/(DataSources\(|type\s*(?:==|!=)\s*|user\[|query\[|data\[)(["'])[^"']*$/);
        if (within) {
            const [, opener, quote] = /^([^"']*)(["'])/.exec(within.text);
            const names = opener.startsWith("DataSources") ? page.dataSources
                : opener.startsWith("type") ? ["select", "insert", "update", "delete"]
                : opener.startsWith("user") ? page.fields() : page.columns();
            return strings(names, within.from + opener.length + quote.length);
        }
        const behind = context.matchBefore(/([\p{L}\p{N}_]+|\))\.[\p{L}\p{N}_]*$/u);
        if (behind) {
            const dot = behind.from + behind.text.lastIndexOf(".");
            const name = behind.text.slice(0, behind.text.lastIndexOf("."));
            if (name === ")") return { from: dot + 1, options: LOOKUPS };
            if (name === "entry") return members(["id", "data"], dot + 1, dot);
            if (name === "user") return members(page.fields(), dot + 1, dot);
            if (name === "query" || name === "data") return members(page.columns(), dot + 1, dot);
            return null;
        }
        return context.explicit || context.matchBefore(/[\p{L}_]+$/u) ? rest(context) : null;
    };
    return [own, localCompletionSource];
}
