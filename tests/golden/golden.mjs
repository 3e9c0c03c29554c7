// Runs the cases of the given files: each is a shell line that calls `ironflow`, the requests it must
// send with the answers it gets, and what it must print. Format of a file, one case after another:
//
//   case: a name
//   env: NAME=value                       (any number)
//   run: ironflow emit x --data '{}'      (sh; the program under test is `ironflow`)
//   expect: POST /path {"body":1}         (in order; the body as sent, absent when empty)
//   header: name: value                   (of the expected request before it; "name:" must be absent)
//   answer: 200 {"json":1}                (to the expected request before it)
//   exit: 1                               (default 0)
//   stdout:                               (lines until the next keyword at the beginning of a line)
//   stderr:
//
// @SERVER@ stands for the URL of the playing server. A line "\" joins nothing: it is an empty line at
// the end of an output. Lines that begin with # outside outputs are comments.
import { createServer } from "node:http";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const KEYS = /^(case|env|run|expect|header|answer|exit|stdout|stderr):(?: (.*))?$/;

function parse(file) {
  const cases = [];
  let c, output;
  readFileSync(file, "utf8").split("\n").forEach((line, i) => {
    const m = KEYS.exec(line);
    const bad = (why) => { throw new Error(`${file}:${i + 1}: ${why}`); };
    if (!m) {
      if (output) output.push(line);
      else if (line !== "" && !line.startsWith("#")) bad("no keyword");
      return;
    }
    const [, key, value = ""] = m;
    if (key === "case") {
      c = { name: value, file, line: i + 1, env: {}, requests: [], exit: 0, stdout: [], stderr: [] };
      cases.push(c);
      output = undefined;
      return;
    }
    if (!c) bad("before the first case");
    output = undefined;
    const request = c.requests.at(-1);
    if (key === "env") {
      const at = value.indexOf("=");
      c.env[value.slice(0, at)] = value.slice(at + 1);
    } else if (key === "expect") {
      const [method, path, ...body] = value.split(" ");
      c.requests.push({ method, path, body: body.join(" "), headers: [] });
    } else if (key === "header") {
      const at = value.indexOf(":");
      request.headers.push([value.slice(0, at), value.slice(at + 1).trim()]);
    } else if (key === "answer") {
      request.status = Number(value.slice(0, 3));
      request.answer = value.slice(4);
    } else if (key === "exit") {
      c.exit = Number(value);
    } else if (key === "run") {
      c.run = value;
    } else {
      output = c[key];
    }
  });
  return cases;
}

// The lines as printed: blank lines before the next keyword only separate.
function text(lines, url) {
  const copy = [...lines];
  while (copy.at(-1) === "") copy.pop();
  return copy.map((l) => (l === "\\" ? "" : l) + "\n").join("").replaceAll("@SERVER@", url);
}

function play(c, problems) {
  let at = 0;
  return createServer((req, res) => {
    const chunks = [];
    req.on("data", (d) => chunks.push(d));
    req.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      const want = c.requests[at++];
      const got = `${req.method} ${req.url} ${body}`.trim();
      if (!want) {
        problems.push(`unexpected request: ${got}`);
        res.writeHead(500).end();
        return;
      }
      const wanted = `${want.method} ${want.path} ${want.body}`.trim();
      if (got !== wanted) problems.push(`request ${at}\n  want: ${wanted}\n  got:  ${got}`);
      for (const [name, value] of want.headers)
        if ((req.headers[name] ?? "") !== value)
          problems.push(`header ${name}\n  want: ${value}\n  got:  ${req.headers[name] ?? ""}`);
      res.writeHead(want.status, { "content-type": "application/json" }).end(want.answer);
    });
  }).on("close", () => {
    if (at < c.requests.length) problems.push(`${c.requests.length - at} request(s) were not sent`);
  });
}

function execute(c, url, path) {
  const env = { PATH: `${path}:${process.env.PATH}`, HOME: path, TERM: "xterm", LC_ALL: "C.UTF-8",
                ASAN_OPTIONS: process.env.ASAN_OPTIONS ?? "", IRONFLOW_SERVER_URL: url };
  for (const [k, v] of Object.entries(c.env)) env[k] = v.replaceAll("@SERVER@", url);
  return new Promise((done) => {
    const p = spawn("sh", ["-c", c.run], { env, cwd: path, stdio: ["ignore", "pipe", "pipe"] });
    const out = { stdout: "", stderr: "" };
    p.stdout.on("data", (d) => (out.stdout += d));
    p.stderr.on("data", (d) => (out.stderr += d));
    const timer = setTimeout(() => p.kill("SIGKILL"), 120000);
    p.on("close", (code) => { clearTimeout(timer); done({ ...out, exit: code }); });
  });
}

async function check(c) {
  const problems = [];
  const path = mkdtempSync(join(tmpdir(), "golden-"));
  const server = play(c, problems);
  await new Promise((r) => server.listen(0, "127.0.0.1", r));
  const url = `http://127.0.0.1:${server.address().port}`;
  symlinkSync(resolve(process.env.IRONFLOW_BIN), join(path, "ironflow"));
  const got = await execute(c, url, path);
  server.closeAllConnections();
  await new Promise((r) => server.close(r));
  rmSync(path, { recursive: true });
  if (got.exit !== c.exit) problems.push(`exit code: want ${c.exit}, got ${got.exit}`);
  for (const stream of ["stdout", "stderr"]) {
    const want = text(c[stream], url);
    if (got[stream] !== want)
      problems.push(`${stream}\n--- want\n${want}--- got\n${got[stream]}---`);
  }
  if (problems.length > 0) console.log(`FAIL ${c.file}:${c.line}: ${c.name}\n${problems.join("\n")}`);
  return problems.length === 0;
}

let failed = 0, n = 0;
for (const file of process.argv.slice(2)) {
  for (const c of parse(file)) {
    n++;
    if (!(await check(c))) failed++;
  }
}
console.log(`golden: ${n - failed} of ${n} cases passed`);
process.exit(failed === 0 && n > 0 ? 0 : 1);
