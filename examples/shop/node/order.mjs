// Places an order through renewald, and takes what it brings from the built-in queue. Needs nothing but Node.js 18.
//
//     SHOP_TOKEN=… TOKEN=… node order.mjs http://127.0.0.1:9464 nexway order.json
//
// Prints a line for each message it has taken. Run it again with the same order: it is placed once.
import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";

const [address, provider, file] = process.argv.slice(2);

function post(path, token, body) {
    const headers = { authorization: `Bearer ${process.env[token]}`, "content-type": "application/json" };
    return fetch(address + path, { method: "POST", headers, body: JSON.stringify(body) });
}

// 503: not now, or it is not known yet whether the provider has it. To send the same again is safe.
async function place(order) {
    for (let tries = 0; tries < 60; tries++) {
        const answer = await post(`/v1/shop/${provider}/order`, "SHOP_TOKEN", { order, deliver: true });
        const body = await answer.json();
        if (answer.ok) return body;
        if (answer.status !== 503) throw new Error(body.detail);
        await pause(1000 * Number(answer.headers.get("retry-after") ?? 10));
    }
    throw new Error("still not known: ask again later");
}

const placed = await place(JSON.parse(await readFile(file, "utf8")));
const waiting = new Set(placed.subscriptions);
while (waiting.size > 0) {
    const claimed = await (await post("/v1/queue:claim", "TOKEN", { max: 10, wait_seconds: 60 })).json();
    for (const { id, event } of claimed.messages) {
        // Store it here, before you say that it has arrived.
        await post("/v1/queue:ack", "TOKEN", { ids: [id] });
        const subscription = event.data.subscription.subscription_id;
        console.log(id, event.data.occasion, subscription);
        waiting.delete(subscription);
    }
}
