// The server SDKs of Segment, RudderStack, Snowplow and PostHog: each puts something into a cart and buys it.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const [, , collector] = process.argv;
// Events of one millisecond have no order.
const pause = () => new Promise((done) => setTimeout(done, 5));
const product = { product_id: "507", price: 18.99, quantity: 2, currency: "EUR" };
const order = (who) => ({ order_id: who, total: 40.98, currency: "EUR" });

const { Analytics } = require("@segment/analytics-node");
const segment = new Analytics({ writeKey: "WK", host: collector, path: "/web/v1/batch", flushAt: 2 });
segment.track({ userId: "node-segment", event: "Product Added", properties: product });
await pause();
segment.track({ userId: "node-segment", event: "Order Completed", properties: order("node-segment") });
await segment.closeAndFlush({ timeout: 10_000 });

const Rudder = require("@rudderstack/rudder-sdk-node");
const rudder = new (Rudder.default ?? Rudder)("WKWKWKWKWKWKWKWKWKWKWKWKWKW", { dataPlaneUrl: `${collector}/rudder`, flushAt: 2 });
rudder.track({ userId: "node-rudder", event: "Product Added", properties: product });
await pause();
rudder.track({ userId: "node-rudder", event: "Order Completed", properties: order("node-rudder") });
await new Promise((done) => rudder.flush(done));

const { PostHog } = require("posthog-node");
const posthog = new PostHog("phc_x", { host: `${collector}/hog`, flushAt: 2 });
posthog.capture({ distinctId: "node-posthog", event: "Product Added", properties: product });
await pause();
posthog.capture({ distinctId: "node-posthog", event: "Order Completed", properties: order("node-posthog") });
await posthog.shutdown();

const snowplow = require("@snowplow/node-tracker");
const vendor = "iglu:com.snowplowanalytics.snowplow.ecommerce";
const tracker = snowplow.newTracker(
  { namespace: "ns", appId: "shop" },
  { endpoint: collector, bufferSize: 2, eventMethod: "post", postPath: "/snow/x", customPostPath: "/snow/x" },
);
tracker.setUserId("node-snowplow");
const act = (type, entity, data) => tracker.track(
  snowplow.buildSelfDescribingEvent({ event: { schema: `${vendor}/snowplow_ecommerce_action/jsonschema/1-0-2`, data: { type } } }),
  [{ schema: `${vendor}/${entity}/jsonschema/1-0-0`, data }],
);
act("add_to_cart", "product", { id: "507", category: "shoes", price: 18.99, currency: "EUR", quantity: 2 });
await pause();
act("transaction", "transaction", { transaction_id: "node-snowplow", revenue: 40.98, currency: "EUR" });
tracker.flush();
await new Promise((done) => setTimeout(done, 2_000));
console.log("done");
