// What the fields of the editor offer: the columns as they are on the page, and what the server said.

// One name a line; what begins with a quote is a JSON text.
function linesOf(text) {
    return text.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => {
        if (!line.startsWith('"')) return line;
        try { return JSON.parse(line); } catch { return line; }
    });
}

const COMMON = ["Admin", "Manager", "User", "Yes", "No", "Active", "Archived"];

// Every text that a condition on this column has in the rules; "" stands for any column.
function valuesIn(value, column, found, here = false) {
    if (typeof value === "string") { if (here && value && !value.includes("{{")) found.add(value); return; }
    if (Array.isArray(value)) { for (const item of value) valuesIn(item, column, found, false); return; }
    if (!(value instanceof Map)) return;
    for (const [key, held] of value) {
        const test = key === "equals" || key === "notequals" || key === "contains";
        if (test && (here || !column)) { if (typeof held === "string") valuesIn(held, column, found, true); }
        else if (key !== "on") valuesIn(held, column, found, key === column);
    }
}

const isText = (value) => typeof value === "string";

export function offersOf(data, columnsArea, rules) {
    const options = (list) => list.map(({ id, name }) => ({ value: String(id), label: name, hint: `id ${id}` }));
    const columns = () => (columnsArea ? linesOf(columnsArea.value).filter(isText) : data.columns);
    return {
        columnNames: columns,
        columns: () => columns().map((value) => ({ value })),
        session: () => data.session.map(({ name, of }) => ({ value: name, hint: of })),
        tokens: () => options(data.tokens),
        apps: () => options(data.apps),
        dataSources: () => data.dataSources,
        scriptEditor: data.scriptEditor,
        values: (column) => {
            const found = new Set();
            for (const rule of rules()) valuesIn(rule, column, found);
            if (column === "Source") for (const name of data.sources) found.add(name);
            else for (const name of COMMON) found.add(name);
            return [...found].map((value) => ({ value }));
        },
    };
}
