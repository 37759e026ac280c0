'use strict';
/**
 * Leads Node's calls to the vendors through runcap's proxy. Loaded by NODE_OPTIONS=--require, needs no npm package.
 *
 * stripe-node makes an https.Agent of its own, which takes no notice of HTTPS_PROXY; fetch, on which resend-node
 * stands, does not before Node 22.21 and 24. So the two ways in which Node opens a TLS connection are taught the way:
 * https.Agent (stripe-node, twilio-node, axios) and fetch. Only the hosts of RUNCAP_HOSTS are concerned; any other call
 * is Node's own code, untouched. An agent or dispatcher that knows a proxy already keeps it.
 *
 * Without RUNCAP_PROXY and RUNCAP_HOSTS this file does nothing.
 */

const CONNECT_TIMEOUT_MS = 30_000;
const LOADED = Symbol.for('runcap.preload');
// undici's own names for the default dispatcher; from Node 26 on, what stands under the first is made of the second.
const GLOBAL_DISPATCHERS = [Symbol.for('undici.globalDispatcher.1'), Symbol.for('undici.globalDispatcher.2')];
const PLAIN = new Set(['Agent', 'Dispatcher1Wrapper']);

const proxy = readProxy(process.env.RUNCAP_PROXY);
const hosts = new Set((process.env.RUNCAP_HOSTS || '').split(',').filter(Boolean));

if (proxy && hosts.size && !globalThis[LOADED]) {
  globalThis[LOADED] = true;
  teachAgents();
  teachFetch();
  dropWarning();
}

/** https.Agent opens each connection in createConnection; agents that come with a proxy have their own. */
function teachAgents() {
  const { Agent } = require('node:https');
  const original = Agent.prototype.createConnection;
  Agent.prototype.createConnection = function createConnection(options, callback) {
    const concerned =
      typeof callback === 'function' && options && isVendor(options.host, options.port) && !options.socket && !knowsProxy(this);
    if (!concerned) return original.apply(this, arguments);
    openTunnel(options.host, (error, socket) => {
      if (error) return callback(error);
      callback(null, original.call(this, { ...options, socket }));
    });
    return undefined;
  };
}

/** Node 24's agents may have been given a proxy by NODE_USE_ENV_PROXY or by their `proxyEnv`. */
function knowsProxy(agent) {
  const env = agent.options && agent.options.proxyEnv;
  return Boolean(env && (env.https_proxy || env.HTTPS_PROXY));
}

/** fetch takes a dispatcher with each call. Node does not export its class, but the default one leads to it. */
function teachFetch() {
  const original = globalThis.fetch;
  if (typeof original !== 'function') return;
  let dispatcher;
  globalThis.fetch = function fetch(input, init) {
    if (!isVendorUrl(input) || (init && init.dispatcher)) return original.call(this, input, init);
    dispatcher = dispatcher || makeDispatcher();
    return original.call(this, input, dispatcher ? { ...init, dispatcher } : init);
  };
}

/** None where the default dispatcher is not the plain one: a proxy's or a test's was put in its place. */
function makeDispatcher() {
  globalThis.Request; // reading it loads Node's fetch, which sets the default dispatcher
  const current = GLOBAL_DISPATCHERS.map((name) => globalThis[name]).filter(Boolean);
  const agent = current.find((dispatcher) => dispatcher.constructor.name === 'Agent');
  if (!agent || !current.every((dispatcher) => PLAIN.has(dispatcher.constructor.name))) return undefined;
  return new agent.constructor({ connect: connectForFetch });
}

function connectForFetch({ hostname, servername }, callback) {
  openTunnel(hostname, (error, socket) => {
    if (error) return callback(error, null);
    const secure = require('node:tls').connect({
      socket,
      servername: servername || hostname,
      ALPNProtocols: ['http/1.1'],
    });
    secure.once('error', (problem) => callback(problem, null));
    secure.once('secureConnect', () => {
      secure.removeAllListeners('error');
      callback(null, secure);
    });
  });
}

/** Node 22 warns in every process that NODE_USE_ENV_PROXY is experimental: the agent's stderr stays as it was. */
function dropWarning() {
  const original = process.emit;
  const quiet = function emit(name, warning) {
    if (name === 'warning' && warning && warning.code === 'UNDICI-EHPA') return false;
    return original.apply(this, arguments);
  };
  process.emit = quiet;
  setImmediate(() => {
    if (process.emit === quiet) process.emit = original; // the warning is told before anything else, or never
  });
}

/** Calls back once, with an error or with a socket on which TLS with the host may begin. */
function openTunnel(host, callback) {
  const authority = `${host}:443`;
  const request = require('node:http').request({
    host: proxy.hostname,
    port: proxy.port,
    method: 'CONNECT',
    path: authority,
    headers: proxy.username ? { host: authority, 'proxy-authorization': `Basic ${credential()}` } : { host: authority },
    agent: false,
  });
  request.once('connect', (response, socket, head) => {
    socket.setTimeout(0);
    request.removeAllListeners('timeout');
    if (response.statusCode !== 200) {
      socket.destroy();
      return callback(new Error(`runcap's proxy at ${proxy.host} answered ${response.statusCode} to CONNECT ${authority}`));
    }
    if (head.length) socket.unshift(head);
    callback(null, socket);
  });
  request.once('error', (error) => {
    error.message = `runcap's proxy at ${proxy.host} cannot be reached: ${error.message}`;
    callback(error);
  });
  request.setTimeout(CONNECT_TIMEOUT_MS, () => request.destroy(new Error(`no answer within ${CONNECT_TIMEOUT_MS} ms`)));
  request.end();
}

/** For a proxy that wants to know whose connection it is. */
function credential() {
  return Buffer.from(`${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`).toString('base64');
}

function isVendor(host, port) {
  return hosts.has(host) && Number(port || 443) === 443;
}

function isVendorUrl(input) {
  try {
    const url = new URL(typeof input === 'object' && input !== null && 'url' in input ? input.url : String(input));
    return url.protocol === 'https:' && isVendor(url.hostname, url.port);
  } catch {
    return false; // fetch itself says what is wrong with it
  }
}

function readProxy(text) {
  try {
    const url = new URL(text);
    return url.protocol === 'http:' ? url : null;
  } catch {
    return null;
  }
}
