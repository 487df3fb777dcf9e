// Takes renewald's webhooks: checks who sent a message, stores it once, and says so. Needs nothing but Node.js 18.
//
//     SIGNING_SECRET=whsec_… node receiver.mjs 8080 inbox
//
// INBOX gets a file ID.json for each message; what your shop does with it is another program's work, and may take its time.
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { mkdir, open, rename } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";

const key = Buffer.from(process.env.SIGNING_SECRET.replace(/^whsec_/, ""), "base64");
const [port, inbox] = process.argv.slice(2);

function isGenuine(id, sentAt, signatures, body) {
    const ours = createHmac("sha256", key).update(`${id}.${sentAt}.`).update(body).digest();
    const isOurs = (one) => {
        const given = Buffer.from(one.replace(/^v1,/, ""), "base64");
        return one.startsWith("v1,") && given.length === ours.length && timingSafeEqual(given, ours);
    };
    const isFresh = /^\d+$/.test(sentAt) && Math.abs(Date.now() / 1000 - Number(sentAt)) < 300;
    return isFresh && signatures.split(" ").some(isOurs);
}

// On disk when this is done. A message that comes again is the same file with the same content.
async function store(id, body) {
    const part = join(inbox, `.${randomUUID()}`);
    const file = await open(part, "w");
    await file.writeFile(body);
    await file.sync();
    await file.close();
    await rename(part, join(inbox, `${id}.json`));
}

async function receive(request) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const [id, sentAt, signatures] = ["id", "timestamp", "signature"].map((name) => request.headers[`webhook-${name}`] ?? "");
    if (!/^[0-9a-f-]{36}$/.test(id) || !isGenuine(id, sentAt, signatures, body)) return 401;
    await store(id, body);
    return 204;
}

await mkdir(inbox, { recursive: true });
createServer(async (request, response) => {
    const status = request.method === "POST" ? await receive(request).catch(() => 500) : 405;
    response.writeHead(status).end();
}).listen(Number(port), "127.0.0.1");
