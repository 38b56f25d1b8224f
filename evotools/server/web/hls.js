"use strict";
// HLS as the browser plays it by itself, and how far its picture lags behind the camera.
window.HlsPlayer = class {
  static MEASURE_MS = 10000;
  static EDGE_S = 4;

  /** `report(what, text)` hears of `waiting`. */
  constructor(video, url, report) {
    this.name = "hls";
    this.liveLimit = 30; // Native players start three segments behind the newest one, and segments may be long.
    this.video = video;
    this.url = url;
    this.newestSegment = "";
    this.endWall = NaN; // Wall time, in ms, of the position `endTime`.
    this.endTime = NaN;
    this.skew = 0; // Server's clock minus ours, when that is worth telling.
    this.measuredAt = -Infinity;
    this.lastEnd = NaN;
    this.controls = new AbortController();
    const listen = (name, heard) => video.addEventListener(name, heard, { signal: this.controls.signal });
    listen("error", () => report("waiting", "Waiting for the stream…"));
    listen("ended", () => report("waiting", "The stream has ended. Waiting for it to come back…"));
    listen("progress", () => this.measureSometimes());
    listen("timeupdate", () => this.measureSometimes());
    // Safari knows the wall time of a position (getStartDate). Chromium does not, but its segment requests show in the
    // resource timing: the newest one ends where the buffer ends, and the media playlist tells the wall time of that.
    this.observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const path = new URL(entry.name).pathname;
        if (path.endsWith(".ts")) this.newestSegment = path.slice(path.lastIndexOf("/") + 1);
      }
    });
    this.observer.observe({ type: "resource", buffered: true });
  }

  static possible(video) {
    return Boolean(video.canPlayType("application/vnd.apple.mpegurl"));
  }

  start() {
    this.endWall = NaN;
    this.video.src = this.url;
  }

  stop() {}

  leave() {
    this.observer.disconnect();
    this.controls.abort();
  }

  behind() {
    const { video } = this;
    const start = video.getStartDate ? video.getStartDate().getTime() : NaN;
    const wall = Number.isFinite(start)
      ? start + video.currentTime * 1000
      : this.endWall - (this.endTime - video.currentTime) * 1000;
    return (Date.now() + this.skew - wall) / 1000;
  }

  toLive() {
    const ranges = this.video.seekable;
    if (!ranges.length || !Number.isFinite(ranges.end(ranges.length - 1))) return false;
    this.video.currentTime = Math.max(0, ranges.end(ranges.length - 1) - HlsPlayer.EDGE_S);
    this.video.play().catch(() => {});
    return true;
  }

  measureSometimes() {
    const ranges = this.video.buffered;
    const newest = ranges.length ? ranges.end(ranges.length - 1) : NaN;
    const now = performance.now();
    if (newest === this.lastEnd || !Number.isFinite(newest)) return;
    this.lastEnd = newest;
    if (this.video.currentTime > 0 && now - this.measuredAt > HlsPlayer.MEASURE_MS) {
      this.measuredAt = now;
      this.measure(newest);
    }
  }

  async measure(position) {
    const segment = this.newestSegment;
    try {
      const answer = await fetch(this.url.replace("index.m3u8", "media.m3u8"), { cache: "no-store" });
      if (!answer.ok) return;
      const difference = Date.parse(answer.headers.get("Date")) + 500 - Date.now(); // The field has whole seconds.
      this.skew = Math.abs(difference) > 2000 ? difference : 0;
      let wall = NaN;
      for (const line of (await answer.text()).split("\n")) {
        if (line.startsWith("#EXT-X-PROGRAM-DATE-TIME:")) wall = Date.parse(line.slice(25));
        else if (line.startsWith("#EXTINF:")) wall += parseFloat(line.slice(8)) * 1000;
        else if (segment && line.startsWith(segment)) {
          this.endWall = wall;
          this.endTime = position;
        }
      }
    } catch {
      // The figures stay as they are; the video element reports what matters.
    }
  }
};
