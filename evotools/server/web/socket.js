"use strict";
// Live fragmented MP4 from a WebSocket into Media Source Extensions, played close to the live edge.
window.SocketPlayer = class {
  static LEAD_S = 0.25; // What the buffer holds ahead of the picture when nothing goes wrong.
  static MAX_LEAD_S = 2; // The most that stalls may make of it.
  static CALM_MS = 20000; // So long without a stall makes the lead smaller again.
  static JUMP_S = 3; // Further behind than this, a seek; nearer, a faster clock that nobody hears.
  static FASTEST = 1.1;
  static KEEP_S = 30; // Played media that stays for seeking back.
  static GAP_S = 0.02;
  static SILENT_MS = 15000; // A server says something every second; without that the connection is dead.
  static Source = window.MediaSource || window.ManagedMediaSource;

  /** `report(what, text)` hears of `waiting`, `playing` and `unsupported`. */
  constructor(video, url, report) {
    this.name = "websocket";
    this.liveLimit = 5;
    this.video = video;
    this.report = report;
    const address = new URL(url, location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    this.address = address.href;
    this.lead = SocketPlayer.LEAD_S;
    this.errors = 0;
    this.controls = new AbortController();
    const listen = (name, heard) => video.addEventListener(name, heard, { signal: this.controls.signal });
    listen("waiting", () => this.stalled());
    listen("pause", () => this.hold());
    listen("play", () => this.go());
    listen("error", () => this.broken());
    listen("playing", () => {
      this.errors = 0;
    });
  }

  static possible() {
    return Boolean(SocketPlayer.Source && window.WebSocket);
  }

  start() {
    this.stop();
    this.queue = [];
    this.mime = "";
    this.begun = false;
    this.held = false;
    this.endAt = NaN; // Media time of the live edge, and when we heard of it.
    this.heardAt = performance.now();
    this.calmSince = this.heardAt;
    const source = (this.source = new SocketPlayer.Source());
    this.buffer = null;
    this.video.disableRemotePlayback = true; // Managed sources insist on it.
    this.url = URL.createObjectURL(source);
    this.video.src = this.url;
    source.addEventListener("sourceopen", () => this.pump());
    const socket = (this.socket = new WebSocket(this.address));
    socket.binaryType = "arraybuffer";
    socket.onmessage = (message) => {
      if (this.socket !== socket) return;
      this.heardAt = performance.now();
      if (typeof message.data === "string") this.told(JSON.parse(message.data));
      else this.queue.push(message.data);
      this.pump();
    };
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.report("waiting", event.code === 1000 ? "The stream has ended. Waiting for it to come back…" : "Waiting for the stream…");
    };
    this.timer = setInterval(() => this.tick(), 100);
  }

  stop() {
    clearInterval(this.timer);
    const socket = this.socket;
    this.socket = null;
    if (socket) socket.close();
    this.buffer = null;
    this.source = null;
    this.video.playbackRate = 1;
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = "";
  }

  /** Another player takes over. */
  leave() {
    this.stop();
    this.controls.abort();
  }

  /** Seconds behind the newest media that the server has. */
  behind() {
    return this.endAt + (performance.now() - this.endHeardAt) / 1000 - this.video.currentTime;
  }

  toLive() {
    this.lead = SocketPlayer.LEAD_S;
    if (this.held) this.go();
    else this.jump();
  }

  send(type, values) {
    if (this.socket && this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type, ...values }));
  }

  // What the server says.

  told({ type, data }) {
    if (type === "codec_data") {
      if (!SocketPlayer.Source.isTypeSupported(data.mime)) {
        this.report("unsupported", data.mime);
        return;
      }
      this.queue.push(data.mime);
    } else if (type === "on_time") {
      this.endAt = data.end / 1000;
      this.endHeardAt = performance.now();
    } else if (type === "on_stop") {
      this.queue.push(null);
    }
  }

  // Into the buffer, in order: media, and between them the kinds that the media after them is of.

  pump() {
    const { source, queue } = this;
    if (!source || source.readyState !== "open" || (this.buffer && this.buffer.updating)) return;
    try {
      while (queue.length && !(this.buffer && this.buffer.updating)) {
        const item = queue[0];
        if (item === null) {
          queue.shift();
        } else if (typeof item === "string") {
          this.become(item);
          queue.shift();
        } else {
          this.append();
        }
      }
    } catch (error) {
      if (error.name === "QuotaExceededError") this.makeRoom();
      else this.broken();
    }
  }

  become(mime) {
    if (!this.buffer) {
      const buffer = (this.buffer = this.source.addSourceBuffer(mime));
      buffer.addEventListener("updateend", () => {
        if (this.buffer !== buffer) return;
        this.trim();
        this.pump();
      });
    } else if (mime !== this.mime) {
      this.buffer.changeType(mime);
    }
    this.mime = mime;
  }

  append() {
    const { queue } = this;
    let count = 1;
    let size = queue[0].byteLength;
    // A backlog in one piece: appending costs by the call.
    while (count < queue.length && queue[count] instanceof ArrayBuffer) {
      size += queue[count].byteLength;
      count += 1;
    }
    let data = queue[0];
    if (count > 1) {
      data = new Uint8Array(size);
      let at = 0;
      for (const piece of queue.slice(0, count)) {
        data.set(new Uint8Array(piece), at);
        at += piece.byteLength;
      }
    }
    this.buffer.appendBuffer(data);
    queue.splice(0, count);
  }

  trim() {
    const { buffer, video } = this;
    if (!buffer || buffer.updating || !buffer.buffered.length) return;
    const first = buffer.buffered.start(0);
    if (video.currentTime - first > 2 * SocketPlayer.KEEP_S) buffer.remove(first, video.currentTime - SocketPlayer.KEEP_S);
  }

  makeRoom() {
    const { buffer, video } = this;
    if (!buffer || buffer.updating) return;
    const ranges = buffer.buffered;
    const first = ranges.length ? ranges.start(0) : 0;
    const played = video.currentTime - 2;
    if (played > first) buffer.remove(first, played);
    else this.jump(); // All of it lies ahead: live is where the end is. The next tick tries again.
  }

  // Near the live edge.

  edge() {
    const ranges = this.buffer ? this.buffer.buffered : null;
    return ranges && ranges.length ? ranges.end(ranges.length - 1) : NaN;
  }

  jump() {
    const ranges = this.buffer ? this.buffer.buffered : null;
    if (!ranges || !ranges.length) return;
    const last = ranges.length - 1;
    this.video.currentTime = Math.max(ranges.start(last), ranges.end(last) - this.lead);
    this.video.play().catch(() => {});
  }

  tick() {
    const { video } = this;
    const now = performance.now();
    if (now - this.heardAt > SocketPlayer.SILENT_MS && !this.held && this.socket) {
      this.socket.close();
      this.socket = null;
      this.report("waiting", "The stream stopped. Trying again…");
      return;
    }
    this.pump();
    const edge = this.edge();
    if (!Number.isFinite(edge) || video.seeking) return;
    if (!this.begun) {
      this.begun = true;
      this.jump();
      return;
    }
    if (video.paused || this.held) return;
    const ahead = edge - video.currentTime;
    if (ahead > SocketPlayer.JUMP_S + this.lead) {
      this.jump();
      return;
    }
    this.overGap();
    const excess = ahead - this.lead;
    const rate = excess > 0.1 ? Math.min(1 + excess / 5, SocketPlayer.FASTEST) : 1;
    if (Math.abs(video.playbackRate - rate) > 0.005) video.playbackRate = rate;
    if (now - this.calmSince > SocketPlayer.CALM_MS) {
      this.calmSince = now;
      this.lead = Math.max(SocketPlayer.LEAD_S, this.lead * 0.8);
    }
  }

  /** A publisher that came back leaves a hole in time. */
  overGap() {
    const { video } = this;
    const ranges = this.buffer.buffered;
    for (let i = 0; i < ranges.length; i += 1) {
      if (ranges.start(i) > video.currentTime) {
        const before = i ? ranges.end(i - 1) : -Infinity;
        if (video.currentTime >= before - 0.1) video.currentTime = ranges.start(i) + SocketPlayer.GAP_S;
        return;
      }
    }
  }

  stalled() {
    if (!this.begun || this.held || this.video.seeking) return;
    this.calmSince = performance.now();
    this.lead = Math.min(this.lead + 0.1, SocketPlayer.MAX_LEAD_S);
  }

  // The viewer's own pause.

  hold() {
    if (!this.begun || this.held || this.video.ended || this.video.seeking) return;
    this.held = true;
    this.send("hold");
  }

  go() {
    if (!this.held) return;
    this.held = false;
    this.begun = false; // The newest media begins behind a hole.
    const { buffer } = this;
    this.queue = this.queue.filter((item) => typeof item === "string");
    if (buffer && !buffer.updating && buffer.buffered.length) buffer.remove(0, Infinity);
    this.heardAt = performance.now();
    this.send("play");
  }

  broken() {
    if (!this.source) return;
    this.errors += 1;
    const socket = this.socket;
    this.socket = null;
    if (socket) socket.close();
    if (this.errors > 2) this.report("unsupported", this.video.error ? this.video.error.message : this.mime);
    else this.report("waiting", "The picture broke off. Trying again…");
  }
};
