// Begins each Node child of `promptop watch`: what fetch, http and https send to models is told to promptop.
//
// Loaded by NODE_OPTIONS=--require, which every Node takes (those before 18.18 refuse to start with --import). The
// program sees the addresses, answers and errors that it would have seen; nothing is sent or read on its behalf. Calls
// are told through a named pipe, in pieces that the kernel keeps whole, and never by blocking while the program runs.
// Where the pipe cannot be opened the variables go on pointing at the proxy.
'use strict';

const fs = require('fs');

const PIECE = 2700; // bytes; with base64 and the head of a line below PIPE_BUF, 4,096
const MOST_QUEUED = 32 << 20;
const LARGEST_BODY = 8 << 20;
const LAST_MS = 1000; // the end of the program is delayed by this at most, while the pipe is full

const env = process.env;

function begin() {
  if (!env.PROMPTOP_WATCH_PIPE) return;
  let pipe;
  try {
    pipe = fs.openSync(env.PROMPTOP_WATCH_PIPE, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
  } catch {
    return;
  }
  for (const pair of (env.PROMPTOP_WATCH_RESTORE || '').split('\n')) {
    const at = pair.indexOf('=');
    if (at > 0) env[pair.slice(0, at)] = pair.slice(at + 1);
    else if (pair) delete env[pair];
  }
  delete env.PROMPTOP_WATCH_RESTORE;
  const send = sender(pipe);
  if (typeof globalThis.fetch === 'function') watchFetch(send);
  watchHttp(require('http'), 'http:', send);
  watchHttp(require('https'), 'https:', send);
  try {
    require('module').syncBuiltinESMExports();
  } catch {
    // an older Node: `import { request } from "https"` goes unwatched
  }
}

// ── telling ──

function sender(pipe) {
  const queue = [];
  let queued = 0;
  let scheduled = false;
  let broken = false;

  function flush() {
    while (queue.length && !broken) {
      try {
        fs.writeSync(pipe, queue[0]);
      } catch (error) {
        if (error.code === 'EAGAIN') return false;
        broken = true;
        queue.length = 0;
        return true;
      }
      queued -= queue.shift().length;
    }
    return true;
  }

  function later() {
    scheduled = false;
    if (!flush() && !scheduled) {
      scheduled = true;
      setTimeout(later, 2).unref();
    }
  }

  process.on('exit', () => {
    const until = Date.now() + LAST_MS;
    while (!flush() && Date.now() < until);
  });

  return (id, message) => {
    if (broken || queued > MOST_QUEUED) return;
    const bytes = Buffer.from(JSON.stringify(message));
    for (let at = 0; at < bytes.length; at += PIECE) {
      const last = at + PIECE >= bytes.length ? 1 : 0;
      const line = Buffer.from(`${id} ${last} ${bytes.toString('base64', at, Math.min(at + PIECE, bytes.length))}\n`);
      queue.push(line);
      queued += line.length;
    }
    if (!scheduled) later();
  };
}

const { threadId } = require('worker_threads');
let calls = 0;

class Call {
  constructor(send, method, url, headers) {
    this.id = `${process.pid}-${threadId}-${++calls}`;
    this.send = send;
    this.began = performanceNow();
    this.ended = false;
    this.tell({ is: 'begin', at_ms: Date.now(), method, url: String(url), headers });
  }

  tell(message) {
    if (this.ended) return;
    if (message.is === 'end') this.ended = true;
    this.send(this.id, { t: (performanceNow() - this.began) / 1000, ...message });
  }

  body(parts) {
    const size = parts.reduce((sum, part) => sum + part.length, 0);
    if (!size) return;
    const body = size <= LARGEST_BODY ? Buffer.concat(parts).toString('base64') : null;
    this.tell({ is: 'body', size, body });
  }

  head(status, headers, decoded) {
    this.tell({ is: 'head', status, headers, decoded });
  }

  read(bytes) {
    this.tell({ is: 'read', data: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64') });
  }

  end(how, error) {
    const name = error && (error.cause || error);
    this.tell({ is: 'end', how, error: name ? [String(name.code || error.name || 'Error'), String(name.message || '')] : null });
  }
}

function performanceNow() {
  return globalThis.performance ? performance.now() : Number(process.hrtime.bigint()) / 1e6;
}

const origins = new Set((env.PROMPTOP_WATCH_ORIGINS || '').split(',').filter(Boolean));
const endings = (env.PROMPTOP_WATCH_PATHS || '').split(',').filter(Boolean);
const proxy = env.PROMPTOP_WATCH_PROXY;

function isCall(url) {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return false;
  const place = `${url.hostname}:${url.port || (url.protocol === 'https:' ? 443 : 80)}`;
  if (place === proxy) return false;
  const path = url.pathname.replace(/\/+$/, '');
  return origins.has(place) || endings.some((ending) => path.endsWith(ending));
}

// ── fetch ──

function watchFetch(send) {
  const original = globalThis.fetch;

  async function fetch(input, init) {
    let call = null;
    try {
      call = callOf(send, input, init);
    } catch {
      // what fetch itself will refuse
    }
    if (call === null) return original.call(this, input, init);
    let response;
    try {
      response = await original.call(this, input, init);
    } catch (error) {
      call.end(error && error.name === 'AbortError' ? 'cancelled' : 'error', error);
      throw error;
    }
    try {
      return watched(call, response);
    } catch {
      call.end('abandoned');
      return response;
    }
  }

  Object.defineProperty(fetch, 'length', { value: original.length });
  globalThis.fetch = fetch;
}

function callOf(send, input, init) {
  const request = typeof Request === 'function' && input instanceof Request ? input : null;
  const url = new URL(request ? request.url : input);
  if (!isCall(url)) return null;
  const headers = new Headers((init && init.headers) || (request ? request.headers : undefined));
  const method = ((init && init.method) || (request && request.method) || 'GET').toUpperCase();
  const call = new Call(send, method, url, [...headers]);
  const body = init && init.body;
  if (typeof body === 'string') call.body([Buffer.from(body)]);
  else if (body instanceof ArrayBuffer) call.body([Buffer.from(body)]);
  else if (ArrayBuffer.isView(body)) call.body([Buffer.from(body.buffer, body.byteOffset, body.byteLength)]);
  return call;
}

// Returns a response that differs from the one given in nothing but that its reads are told. It is read when the program
// reads it and cancelled when the program cancels it.
function watched(call, response) {
  call.head(response.status, [...response.headers], true);
  if (!response.body) {
    call.end('eof');
    return response;
  }
  const reader = response.body.getReader();
  const body = new ReadableStream(
    {
      type: 'bytes',
      async pull(controller) {
        let read;
        try {
          read = await reader.read();
        } catch (error) {
          call.end(error && error.name === 'AbortError' ? 'cancelled' : 'error', error);
          throw error;
        }
        if (read.done) {
          call.end('eof');
          controller.close();
          if (controller.byobRequest) controller.byobRequest.respond(0);
        } else {
          call.read(read.value);
          controller.enqueue(read.value);
        }
      },
      cancel(reason) {
        call.end('closed');
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
  const { status, statusText, headers } = response;
  return dressed(new Response(body, { status, statusText }), response, headers);
}

function dressed(made, response, headers) {
  const same = { url: response.url, redirected: response.redirected, type: response.type, headers };
  for (const [name, value] of Object.entries(same)) {
    Object.defineProperty(made, name, { value, configurable: true });
  }
  const clone = () => dressed(Response.prototype.clone.call(made), response, new Headers(headers));
  Object.defineProperty(made, 'clone', { value: clone, configurable: true });
  return made;
}

// ── http and https ──

function watchHttp(module, scheme, send) {
  const original = module.request;

  function request(...args) {
    const made = original.apply(this, args);
    try {
      watchRequest(made, scheme, send);
    } catch {
      // unwatched
    }
    return made;
  }

  module.request = request;
  module.get = function get(...args) {
    const made = module.request(...args);
    made.end();
    return made;
  };
}

function watchRequest(request, scheme, send) {
  const url = new URL(`${scheme}//${request.getHeader('host') || request.host}${request.path}`);
  if (!isCall(url)) return;
  const headers = Object.entries(request.getHeaders()).map(([name, value]) => [name, String(value)]);
  const call = new Call(send, request.method, url, headers);
  const parts = [];
  const { write, end, emit } = request;
  const take = (chunk, encoding) => {
    if (typeof chunk === 'string') parts.push(Buffer.from(chunk, typeof encoding === 'string' ? encoding : 'utf8'));
    else if (ArrayBuffer.isView(chunk)) parts.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
  };
  request.write = function (chunk, encoding, ...rest) {
    take(chunk, encoding);
    return write.call(this, chunk, encoding, ...rest);
  };
  request.end = function (chunk, encoding, ...rest) {
    take(chunk, encoding);
    call.body(parts.splice(0));
    return end.call(this, chunk, encoding, ...rest);
  };
  request.emit = function (name, ...rest) {
    if (name === 'response') watchResponse(call, rest[0]);
    else if (name === 'error') call.end('error', rest[0]);
    else if (name === 'close' && !request.res) call.end('cancelled');
    return emit.call(this, name, ...rest);
  };
}

function watchResponse(call, response) {
  const pairs = [];
  for (let at = 0; at < response.rawHeaders.length; at += 2) pairs.push([response.rawHeaders[at], response.rawHeaders[at + 1]]);
  call.head(response.statusCode, pairs, false);
  const { push, emit } = response;
  response.push = function (chunk, encoding) {
    if (chunk === null) call.end(response.complete === false ? 'error' : 'eof');
    else if (chunk) call.read(typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk);
    return push.call(this, chunk, encoding);
  };
  response.emit = function (name, ...rest) {
    if (name === 'error' || name === 'aborted') call.end('error', rest[0]);
    else if (name === 'close') call.end('closed');
    return emit.call(this, name, ...rest);
  };
}

try {
  begin();
} catch (error) {
  process.stderr.write(`promptop watch: this program is not watched (${error && error.name})\n`);
}
