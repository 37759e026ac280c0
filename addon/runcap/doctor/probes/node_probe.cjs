'use strict';
// Lets each client library of a folder ask for the canary, as its users would; prints one JSON line for each.
// Arguments: the folder, then the libraries to try. One that is not installed there is passed over in silence.

const { createRequire } = require('node:module');
const path = require('node:path');

const TIMEOUT_MS = 5000;
const PATH = '/runcap/canary';
const [folder, ...wanted] = process.argv.slice(2);
const load = createRequire(path.join(path.resolve(folder), 'probe.cjs'));
const headers = { authorization: `Bearer ${process.env.STRIPE_API_KEY}` };

const libraries = {
  async stripe() {
    const Stripe = load('stripe');
    const client = new Stripe(process.env.STRIPE_API_KEY, { maxNetworkRetries: 0, timeout: TIMEOUT_MS });
    return client.rawRequest('GET', PATH);
  },
  async twilio() {
    const client = load('twilio')(process.env.TWILIO_ACCOUNT_SID, process.env.TWILIO_AUTH_TOKEN);
    return (await client.request({ method: 'GET', uri: `https://api.twilio.com${PATH}`, timeout: TIMEOUT_MS })).body;
  },
  async resend() {
    const { Resend } = load('resend');
    const { data, error } = await new Resend(process.env.RESEND_API_KEY).get(PATH);
    return data || error;
  },
  async axios() {
    return (await load('axios').get(`https://api.stripe.com${PATH}`, { headers, timeout: TIMEOUT_MS })).data;
  },
  async fetch() {
    return (await fetch(`https://api.stripe.com${PATH}`, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) })).text();
  },
};

function installed(name) {
  if (name === 'fetch') return typeof fetch === 'function';
  try {
    load.resolve(name);
    return true;
  } catch {
    return false;
  }
}

async function report(sdk) {
  try {
    const text = JSON.stringify(await libraries[sdk]());
    return { sdk, ok: text.includes('runcap.canary'), error: text.slice(0, 300) };
  } catch (error) {
    const cause = error.cause || error.detail;
    return { sdk, ok: false, error: cause ? `${error.message}: ${cause.message || cause}` : String(error.message) };
  }
}

(async () => {
  for (const name of wanted) {
    if (name in libraries && installed(name)) console.log(JSON.stringify(await report(name)));
  }
  process.exit(0); // an agent that keeps its connections open would hold the process
})();
