// What Node's own fetch does as it comes. Run as: node ask.mjs <address> <body of a request>; prints a line for each answer.

const [address, body] = process.argv.slice(2)
const infer = "/v2/models/toy.UA/infer"
const gzipped = new Response(new Blob([body]).stream().pipeThrough(new CompressionStream("gzip"))).blob()

async function ask(path, options) {
  const answer = await fetch(address + path, options)
  console.log(path, answer.status, (await answer.text()).length > 5000 ? "long" : "", answer.headers.get("content-encoding"))
}

const headers = {"Content-Type": "application/json"}
await ask(infer, {method: "POST", headers, body})
await ask(infer, {method: "POST", headers, body: new Blob([body]).stream(), duplex: "half"})
await ask(infer, {method: "POST", headers: {...headers, "Content-Encoding": "gzip"}, body: await gzipped})
await ask("/v2/repository/index", {method: "POST", body: '{"ready": "yes"}'})
await ask("/docs", {})
