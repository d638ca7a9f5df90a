// Uses the API through the types that openapi-typescript generates, under `tsc --strict`.
// The address, the token, and the id of an empty data source come from the environment.

import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths } from "./api.js";

function environment(name: string): string {
  const value = process.env[name];
  assert.ok(value, `${name} is not set`);
  return value;
}

const client = createClient<paths>({
  baseUrl: environment("BASE_URL"),
  headers: { "Auth-token": environment("TOKEN") },
});
const params = { path: { reference: environment("DATA_SOURCE") } };
const query = "/v1/data-sources/{reference}/data/query";

const committed = await client.POST("/v1/data-sources/{reference}/commit", {
  params,
  body: { append: true, entries: [{ data: { Name: "Ann", Age: 31 } }, { data: { Name: "Bob", Age: 52 } }] },
});
assert.equal(committed.data?.clientIds.length, 0);

const selected = await client.POST(query, { params, body: { where: { Name: "Ann" } } });
const first = selected.data?.entries?.[0];
assert.equal(first?.data?.["Age"], 31);
const id: number | undefined = first?.id;
assert.ok(id);

const ordered = await client.POST(query, {
  params,
  body: { order: [["data.Age", "DESC"]], limit: 1, attributes: ["id", "data.Name"], includePagination: true },
});
assert.equal(ordered.data?.pagination?.total, 2);

const counted = await client.POST(query, { params, body: { countOnly: true } });
const count: number | undefined = counted.data?.count;
assert.equal(count, 2);

const aggregated = await client.POST(query, {
  params,
  body: { aggregate: [{ $group: { _id: null, total: { $sum: "$data.Age" } } }] },
});
assert.equal(aggregated.data?.entries?.[0]?.["total"], 83);

const denied = await client.POST(query, { params, body: { where: { $where: 1 } } });
assert.equal(denied.error?.type, "request.invalid");

const deleted = await client.POST(query, { params, body: { type: "delete", where: { Name: "Bob" } } });
assert.equal(deleted.data?.deletedCount, 1);
const gone = await client.DELETE("/v1/data-sources/{reference}/data/{entry_id}", {
  params: { path: { ...params.path, entry_id: id } },
});
assert.equal(gone.response.status, 200);
console.log("TypeScript: select, count, aggregate, commit and delete work");
