// Runs micro.wasm in V8 under WASI, as far as Envoy's V8 would run it: optimised from the start, Envoy's functions stubbed.
import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const [file, ...args] = process.argv.slice(2);
const wasi = new WASI({ version: "preview1", args: ["micro", ...args] });
const module = await WebAssembly.compile(await readFile(file));
const imports = { wasi_snapshot_preview1: { ...wasi.wasiImport } };
let instance;
// The monotonic clock tells the CPU time of this process: on a busy machine time passes for others too.
imports.wasi_snapshot_preview1.clock_time_get = (id, precision, at) => {
  if (id !== 1) return wasi.wasiImport.clock_time_get(id, precision, at);
  const { user, system } = process.cpuUsage();
  new DataView(instance.exports.memory.buffer).setBigUint64(at, BigInt(user + system) * 1000n, true);
  return 0;
};
// Linked with the filters, never called here.
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  if (from !== "wasi_snapshot_preview1") (imports[from] ??= {})[name] = () => 0;
}
instance = await WebAssembly.instantiate(module, imports);
wasi.start(instance);
