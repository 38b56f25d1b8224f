"use strict";
// The player page: native HLS in a <video>, a live badge, and figures. Waits for streams that are not on air.
(() => {
  const stage = document.getElementById("stage");
  const video = document.getElementById("video");
  const notice = document.getElementById("notice");
  const sound = document.getElementById("sound");
  const live = document.getElementById("live");
  const source = stage.dataset.hls;
  const LIVE_S = 30; // Native players start three segments behind the newest one, and segments may be long.
  const MEASURE_MS = 10000;
  const STALL_MS = 12000;
  const RETRY_MS = [1000, 2000, 3000, 5000];

  let failures = 0;
  let timer = 0;
  let lastTime = -1;
  let movedAt = performance.now();
  let started = false;
  let lastEnd = NaN;

  const say = (text) => {
    notice.textContent = text;
    notice.hidden = !text;
  };
  const show = (id, text) => {
    document.getElementById(id).textContent = text;
  };

  if (!source) {
    document.getElementById("link-hls").hidden = true;
    say("HLS is switched off on this server. Open the FLV or MPEG-TS link below in VLC, mpv or ffplay.");
    return;
  }
  if (!video.canPlayType("application/vnd.apple.mpegurl")) {
    say("This browser cannot play HLS by itself. Use a current Chrome, Edge or Safari, or open one of the links below in VLC, mpv or ffplay.");
    return;
  }

  const end = (ranges) => (ranges.length ? ranges.end(ranges.length - 1) : NaN);

  // How far the picture lags behind the camera. Safari knows the wall time of a position (getStartDate). Chromium
  // does not, but its segment requests show in the resource timing: the newest one ends where the buffer ends, and the
  // media playlist tells the wall time of that.
  let newestSegment = "";
  let endWall = NaN; // Wall time, in ms, of the position `endTime`.
  let endTime = NaN;
  let skew = 0; // Server's clock minus ours, when that is worth telling.
  let measuredAt = -Infinity;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const path = new URL(entry.name).pathname;
      if (path.endsWith(".ts")) newestSegment = path.slice(path.lastIndexOf("/") + 1);
    }
  }).observe({ type: "resource", buffered: true });

  const measure = async (position) => {
    const segment = newestSegment;
    measuredAt = performance.now();
    try {
      const answer = await fetch(source.replace("index.m3u8", "media.m3u8"), { cache: "no-store" });
      if (!answer.ok) return;
      const difference = Date.parse(answer.headers.get("Date")) + 500 - Date.now(); // The field has whole seconds.
      skew = Math.abs(difference) > 2000 ? difference : 0;
      let wall = NaN;
      for (const line of (await answer.text()).split("\n")) {
        if (line.startsWith("#EXT-X-PROGRAM-DATE-TIME:")) wall = Date.parse(line.slice(25));
        else if (line.startsWith("#EXTINF:")) wall += parseFloat(line.slice(8)) * 1000;
        else if (segment && line.startsWith(segment)) {
          endWall = wall;
          endTime = position;
        }
      }
    } catch {
      // The figures stay as they are; the video element reports what matters.
    }
  };

  const behindLive = () => {
    const start = video.getStartDate ? video.getStartDate().getTime() : NaN;
    const wall = Number.isFinite(start) ? start + video.currentTime * 1000 : endWall - (endTime - video.currentTime) * 1000;
    return (Date.now() + skew - wall) / 1000;
  };

  const load = () => {
    timer = 0;
    endWall = NaN;
    movedAt = performance.now();
    lastTime = -1;
    video.src = source;
    video.play().catch(() => {});
  };

  const retry = (text) => {
    if (timer) return;
    started = false;
    say(text);
    timer = setTimeout(load, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]);
    failures += 1;
  };

  video.addEventListener("error", () => retry("Waiting for the stream…"));
  video.addEventListener("ended", () => retry("The stream has ended. Waiting for it to come back…"));
  video.addEventListener("playing", () => {
    started = true;
    failures = 0;
    say("");
    sound.hidden = !video.muted;
  });
  video.addEventListener("waiting", () => {
    if (started && !timer) say("Buffering…");
  });
  video.addEventListener("volumechange", () => {
    sound.hidden = !video.muted || !started;
  });
  sound.addEventListener("click", () => {
    video.muted = false;
  });
  live.addEventListener("click", () => {
    const edge = end(video.seekable);
    if (Number.isFinite(edge)) {
      video.currentTime = Math.max(0, edge - 4);
      video.play().catch(() => {});
    } else if (!live.classList.contains("on")) {
      load();
    }
  });

  setInterval(() => {
    const now = performance.now();
    const time = video.currentTime;
    if (time !== lastTime || video.paused || timer) {
      if (time !== lastTime && started && !timer) say("");
      lastTime = time;
      movedAt = now;
    } else if (now - movedAt > STALL_MS && started) {
      retry("The stream stopped. Trying again…");
    }
    let ahead = 0;
    for (let i = 0; i < video.buffered.length; i += 1) {
      if (video.buffered.start(i) <= time && time <= video.buffered.end(i)) ahead = video.buffered.end(i) - time;
    }
    const newest = end(video.buffered);
    if (newest !== lastEnd) {
      lastEnd = newest;
      if (started && now - measuredAt > MEASURE_MS) measure(newest);
    }
    const behind = behindLive();
    const known = started && Number.isFinite(behind);
    show("behind", known ? Math.max(0, behind).toFixed(1) + " s" : "–");
    live.classList.toggle("on", started && !video.paused && !timer && !(known && behind > LIVE_S));
    show("buffer", started ? ahead.toFixed(1) + " s" : "–");
    show("size", video.videoWidth ? video.videoWidth + "×" + video.videoHeight : "–");
  }, 500);

  load();
})();
