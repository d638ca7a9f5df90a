// Reads [{"rows": [...], "wheres": [...]}, ...] and writes, for each where of each, the numbers of
// the rows that sift finds, or the message with which it refuses.
import { readFileSync } from "node:fs";
import sift from "sift";

const query = sift.default ?? sift;
const found = (rows, where) => {
  try {
    const fits = query(where);
    return rows.flatMap((row, number) => (fits(row) ? [number] : []));
  } catch (error) {
    return String(error.message);
  }
};
const batches = JSON.parse(readFileSync(0, "utf8"));
const answers = batches.map(({ rows, wheres }) => wheres.map((where) => found(rows, where)));
process.stdout.write(JSON.stringify(answers));
