// Rules from elsewhere: what Fliplet and people write a little differently is converted, and what
// was done, or has to be done by hand, is said.

import { Raw, parse } from "./json.js";
import { OPERATIONS, PROPERTIES, TESTS } from "./words.js";

// What Fliplet notes of a rule, and no rule needs.
const NOTED = ["id", "createdAt", "updatedAt", "deletedAt", "dataSourceId"];

const list = (value) => (Array.isArray(value) ? value : [value]);

// The list of rules in whatever was pasted. Throws an Error for what holds none.
function rulesIn(value) {
    if (value instanceof Map) {
        for (const key of ["accessRules", "rules"]) if (Array.isArray(value.get(key))) return value.get(key);
        return [value];
    }
    if (Array.isArray(value)) return value;
    throw new Error("expected a rule or a list of rules");
}

function tests(value, say) {
    if (value instanceof Map) {
        const found = new Map();
        for (const [name, held] of value) {
            const known = Object.keys(TESTS).find((test) => test === name.toLowerCase());
            if (known && known !== name) say(`\`${name}\` is now \`${known}\``);
            found.set(known ?? name, held);
        }
        return found;
    }
    if (value === null || Array.isArray(value)) return value;
    say("a value without an operator now uses `equals`");
    return new Map([["equals", value]]);
}

const columns = (map, say) => new Map([...map].map(([name, held]) => [name, tests(held, say)]));

const CONVERT = {
    name: (value) => (value === null || value === "" ? undefined : value),
    enabled: (value, say) => {
        if (value !== "true" && value !== "false") return value;
        say("`enabled` is now true or false, not a text");
        return value === "true";
    },
    type: (value, say) => {
        if (typeof value === "string") say("`type` is now a list");
        return value === null ? undefined : list(value).map((item) => (
            typeof item === "string" && OPERATIONS.includes(item.toLowerCase()) ? item.toLowerCase() : item));
    },
    allow: (value, say) => {
        if (typeof value === "string" && value.toLowerCase() === "loggedin") return "loggedIn";
        if (!(value instanceof Map)) return value === null ? undefined : value;
        const found = new Map(value);
        if (found.get("user") instanceof Map) found.set("user", columns(found.get("user"), say));
        if (found.has("tokens")) {
            found.set("tokens", numbers(found.get("tokens")));
            say("`tokens` has IDs of API tokens of another site: choose those of this site");
        }
        return found;
    },
    appId: (value, say) => {
        if (value === null) return undefined;
        say("`appId` has IDs of apps of another site: choose those of this site");
        return numbers(value);
    },
    require: (value, say) => (value === null ? undefined : list(value).map((item) => (
        item instanceof Map ? columns(item, say) : item))),
    include: (value) => (value === null ? undefined : list(value)),
    exclude: (value) => (value === null ? undefined : list(value)),
    script: (value, say) => {
        if (value === null || value === "") return undefined;
        if (typeof value === "string" && looksLikeJavaScript(value)) {
            say("the script is JavaScript: scripts are the body of a Python function here, so rewrite it");
        }
        return value;
    },
};

const numbers = (value) => list(value).map((item) => (
    typeof item === "string" && /^[1-9][0-9]*$/.test(item) ? new Raw(item) : item));

export const looksLikeJavaScript = (text) =>
    /(^|\s)(var|let|const|switch|await)\s|===|!==|&&|\|\||=>|\)\s*\{|\/\//.test(text);

function rule(value, say) {
    if (!(value instanceof Map)) return value;
    const found = new Map();
    for (const [name, held] of value) {
        if (!PROPERTIES.includes(name)) {
            // What is not known may have narrowed the rule: it stays, and is refused, until somebody decides.
            if (NOTED.includes(name)) say(`\`${name}\` was left out`);
            else { found.set(name, held); say(`\`${name}\` is not a property of a rule: remove it`); }
            continue;
        }
        const converted = CONVERT[name](held, say);
        if (converted !== undefined) found.set(name, converted);
    }
    return found;
}

// { rules: [values], notes: [texts] }. Throws an Error for a text that holds no rules.
export function convert(text) {
    const found = rulesIn(parse(text));
    const notes = [];
    const rules = found.map((value, at) => rule(value, (note) => notes.push(`Rule ${at + 1}: ${note}.`)));
    return { rules, notes: [...new Set(notes)] };
}
