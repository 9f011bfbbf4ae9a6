// What the vendors' own libraries say of signed requests: a JSON list on stdin, a list of true and false out.
import "@shopify/shopify-api/adapters/node";
import { ApiVersion, shopifyApi } from "@shopify/shopify-api";
import { createHash } from "node:crypto";
import { text } from "node:stream/consumers";
import twilio from "twilio";

async function shopify({ secret, body, signature }) {
  const api = shopifyApi({
    apiKey: "key",
    apiSecretKey: secret,
    apiVersion: Object.values(ApiVersion).at(-1),
    isEmbeddedApp: false,
    hostName: "shop.example",
    logger: { log: () => {} },
  });
  const headers = {
    "x-shopify-hmac-sha256": signature,
    "x-shopify-topic": "orders/create",
    "x-shopify-shop-domain": "shop.myshopify.com",
    "x-shopify-api-version": "2026-10",
    "x-shopify-webhook-id": "1",
  };
  return (await api.webhooks.validate({ rawBody: body, rawRequest: { headers }, rawResponse: {} })).valid;
}

function form({ secret, url, body, signature }) {
  const fields = new URLSearchParams(body);
  const params = Object.fromEntries([...new Set(fields.keys())].map((name) => [name, fields.getAll(name)]));
  return twilio.validateRequest(secret, signature, url, params);
}

function json({ secret, url, body, signature }) {
  const hash = createHash("sha256").update(body).digest("hex");
  const mark = url.includes("?") ? "&" : "?";
  return twilio.validateRequestWithBody(secret, signature, `${url}${mark}bodySHA256=${hash}`, body);
}

const verifiers = { shopify, twilio: form, twilio_json: json };
const verdicts = [];
for (const one of JSON.parse(await text(process.stdin))) {
  verdicts.push(await verifiers[one.scheme](one));
}
console.log(JSON.stringify(verdicts));
