// Reads [{"source", "flags", "texts"}, ...] and writes for each which texts JavaScript's own
// regular expressions find the pattern in, or the message with which they refuse it.
import { readFileSync } from "node:fs";

const found = ({ source, flags, texts }) => {
  try {
    const pattern = new RegExp(source, flags);
    return texts.map((text) => pattern.test(text));
  } catch (error) {
    return String(error.message);
  }
};
process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(found)));
