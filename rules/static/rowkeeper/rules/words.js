// The names of things in rules, and what the form calls them.

export const OPERATIONS = ["select", "insert", "update", "delete"];
export const DOES = { select: "Read", insert: "Add", update: "Change", delete: "Delete" };
export const PROPERTIES = [
    "name", "enabled", "type", "allow", "appId", "include", "exclude", "require", "script",
];
export const TESTS = { equals: "is", notequals: "is not", contains: "contains" };
export const SIDES = {
    "": "checked as usual",
    submitted: "in the submitted data",
    stored: "in the stored entry",
    both: "both before and after the change",
};

// A template that is one expression and nothing else: the field of the user that it names.
const FIELD = /^\{\{ *user\.(?:\[([^[\]\\]+)\]|([\p{L}\p{N}_-]+)) *\}\}$/u;
export const fieldOf = (value) => {
    const found = typeof value === "string" ? FIELD.exec(value) : null;
    return found && (found[1] ?? found[2]);
};
export const templateOf = (field) => `{{user.[${field}]}}`;
