'use strict';

// Connections of Node's `ws`, each driven over a connection to the port that this prints.
//
// Lines of JSON: orders come in, what happens goes out. The first order says which side to be. This
// process ends with its standard input.

const net = require('net');
const readline = require('readline');
const { WebSocket, WebSocketServer } = require('ws');

const HOST = '127.0.0.1';

class Peer {
  constructor(control) {
    this.control = control;
    this.server = null;
    this.socket = null;
    control.setNoDelay(true);
    // Closed with something unread, the connection is reset. The reader of its lines passes the
    // error on; in both cases 'close' follows.
    control.on('error', () => {});
    control.on('close', () => this.end());
    const lines = readline.createInterface({ input: control });
    lines.on('error', () => {});
    lines.on('line', (line) => {
      const [order, argument] = JSON.parse(line);
      this[order](argument);
    });
  }

  tell(kind, value) {
    if (this.control.writable) this.control.write(`${JSON.stringify([kind, value])}\n`);
  }

  end() {
    if (this.socket !== null) this.socket.terminate();
    if (this.server !== null) this.server.close();
  }

  serve({ deflate, largest, protocols, status, headers, body }) {
    this.server = new WebSocketServer({
      host: HOST,
      port: 0,
      maxPayload: largest,
      perMessageDeflate: deflate,
      handleProtocols: (offered) => [...offered].find((name) => protocols.includes(name)) || false,
      verifyClient: (info, answer) => {
        if (status === 101) answer(true);
        else answer(false, status, body, Object.fromEntries(headers));
      }
    });
    this.server.on('headers', (lines) => {
      for (const [name, value] of headers) lines.push(`${name}: ${value}`);
    });
    this.server.on('connection', (socket, request) => {
      this.socket = socket;
      this.opened(Object.entries(request.headers), request.url);
    });
    this.server.on('listening', () => this.tell('listening', this.server.address().port));
  }

  connect({ port, path, deflate, largest, protocols, origin, headers }) {
    let answered = [];
    this.socket = new WebSocket(`ws://${HOST}:${port}${path}`, protocols, {
      headers: Object.fromEntries(headers),
      maxPayload: largest,
      origin: origin === null ? undefined : origin,
      perMessageDeflate: deflate
    });
    this.socket.on('upgrade', (response) => {
      answered = Object.entries(response.headers);
    });
    this.socket.on('open', () => this.opened(answered, path));
    this.socket.on('unexpected-response', (request, response) => {
      const pieces = [];
      response.on('data', (piece) => pieces.push(piece));
      response.on('end', () => {
        this.tell('refused', {
          status: response.statusCode,
          headers: Object.entries(response.headers),
          body: Buffer.concat(pieces).toString('base64')
        });
      });
    });
    this.socket.on('error', (error) => this.tell('failed', error.message));
  }

  opened(headers, path) {
    const { socket } = this;
    socket.on('message', (data, binary) => {
      this.tell('message', { binary, data: data.toString('base64') });
    });
    socket.on('pong', (data) => this.tell('pong', data.toString('base64')));
    socket.on('close', (code, reason) => this.tell('closed', { code, reason: reason.toString() }));
    socket.on('error', () => {}); // 'close' follows
    this.tell('open', { headers, path, protocol: socket.protocol });
  }

  send({ data, binary, fin, compress }) {
    this.socket.send(Buffer.from(data, 'base64'), { binary, fin, compress }, () => {
      this.tell('sent', null);
    });
  }

  ping(data) {
    this.socket.ping(Buffer.from(data, 'base64'));
  }

  close({ code, reason }) {
    this.socket.close(code === null ? undefined : code, reason);
  }
}

const control = net.createServer((connection) => new Peer(connection));
control.listen(0, HOST, () => console.log(control.address().port));
process.stdin.on('end', () => process.exit()).resume();
