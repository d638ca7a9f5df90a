// JSON that loses nothing: objects are Maps, which keep the order of their keys, numbers keep the
// digits that they were written with, and of a list the text of each item is known.

export const WIDTH = 88;

// A piece of JSON text that is written as it is: a number, or what somebody is still typing.
export class Raw {
    constructor(raw) { this.raw = raw; }
}

export class JsonError extends Error {
    constructor(message, text, at) {
        const before = text.slice(0, at).split("\n");
        super(`${message} at line ${before.length}, column ${before.at(-1).length + 1}`);
    }
}

const BLANK = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y;
const WORD = /true|false|null/y;
const WORDS = { true: true, false: false, null: null };

class Reader {
    constructor(text) { this.text = text; this.at = 0; }

    fail(message) { throw new JsonError(message, this.text, this.at); }

    take(pattern) {
        pattern.lastIndex = this.at;
        const found = pattern.exec(this.text);
        if (!found) return null;
        this.at = pattern.lastIndex;
        return found[0];
    }

    blank() { this.take(BLANK); }

    skip(letter) {
        this.blank();
        if (this.text[this.at] !== letter) return false;
        this.at += 1;
        return true;
    }

    string() {
        const found = this.take(STRING);
        return found === null ? this.fail("expected a text in quotes") : JSON.parse(found);
    }

    // What stands between two brackets; `item` reads one.
    several(close, item) {
        if (this.skip(close)) return;
        do item(); while (this.skip(","));
        if (!this.skip(close)) this.fail(`expected \`,\` or \`${close}\``);
    }

    object() {
        const found = new Map();
        this.several("}", () => {
            this.blank();
            const key = this.string();
            if (found.has(key)) this.fail(`the key \`${key}\` is in the same object twice`);
            if (!this.skip(":")) this.fail("expected `:`");
            found.set(key, this.value());
        });
        return found;
    }

    array() {
        const found = [];
        this.several("]", () => found.push(this.value()));
        return found;
    }

    value() {
        this.blank();
        if (this.text[this.at] === '"') return this.string();
        if (this.skip("{")) return this.object();
        if (this.skip("[")) return this.array();
        const word = this.take(WORD);
        if (word !== null) return WORDS[word];
        const number = this.take(NUMBER);
        return number === null ? this.fail("expected a value") : new Raw(number);
    }

    end() {
        this.blank();
        if (this.at < this.text.length) this.fail("unexpected text after the end");
    }
}

function reading(text, read) {
    try {
        return read(new Reader(text));
    } catch (error) {
        if (error instanceof RangeError) throw new JsonError("it is nested too deeply", text, 0);
        throw error;
    }
}

// The value of a text. Throws JsonError.
export function parse(text) {
    return reading(text, (reader) => {
        const found = reader.value();
        reader.end();
        return found;
    });
}

// The items of a list, each with its value and its text as it was written; no text is no item.
export function parseList(text) {
    if (!text.trim()) return [];
    return reading(text, (reader) => {
        const found = [];
        if (!reader.skip("[")) reader.fail("expected a list of rules, [{…}, {…}]");
        reader.several("]", () => {
            reader.blank();
            const from = reader.at;
            const value = reader.value();
            found.push({ value, text: text.slice(from, reader.at) });
        });
        reader.end();
        return found;
    });
}

export function writeList(texts) {
    return texts.length ? `[\n  ${texts.join(",\n  ")}\n]` : "[]";
}

function flat(value) {
    if (value instanceof Raw) return value.raw;
    if (value instanceof Map) {
        return `{${[...value].map(([key, held]) => `${JSON.stringify(key)}: ${flat(held)}`).join(", ")}}`;
    }
    if (Array.isArray(value)) return `[${value.map(flat).join(", ")}]`;
    return JSON.stringify(value);
}

// The text of a value in the layout of the server: what fits on a line stays on one, but for the
// outer `opened` levels.
export function write(value, opened = 1, indent = 2) {
    const line = flat(value);
    const list = Array.isArray(value);
    if (!list && !(value instanceof Map)) return line;
    if (!(list ? value.length : value.size)) return line;
    if (opened <= 0 && indent + line.length <= WIDTH) return line;
    const inner = (held) => write(held, opened - 1, indent + 2);
    const items = list
        ? value.map(inner)
        : [...value].map(([key, held]) => `${JSON.stringify(key)}: ${inner(held)}`);
    const pad = " ".repeat(indent + 2);
    return `${list ? "[" : "{"}\n${pad}${items.join(`,\n${pad}`)}\n${" ".repeat(indent)}${list ? "]" : "}"}`;
}

export const isScalar = (value) =>
    typeof value === "string" || typeof value === "boolean" || value instanceof Raw;

// A Map's key by another name, or another key behind it, in the order that there was.
export function rename(map, from, to) {
    const entries = [...map];
    map.clear();
    for (const [key, held] of entries) map.set(key === from ? to : key, held);
}

export function insertBefore(map, later, key, value) {
    if (map.has(key)) { map.set(key, value); return; }
    const entries = [...map];
    const at = entries.findIndex(([name]) => later.includes(name));
    entries.splice(at < 0 ? entries.length : at, 0, [key, value]);
    map.clear();
    for (const [name, held] of entries) map.set(name, held);
}
