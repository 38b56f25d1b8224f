"use strict";
// The player page: native HLS in a <video>, a live badge, and figures. Waits for streams that are not on air.
(() => {
  const stage = document.getElementById("stage");
  const video = document.getElementById("video");
  const notice = document.getElementById("notice");
  const sound = document.getElementById("sound");
  const live = document.getElementById("live");
  const source = stage.dataset.hls;
  const NEAR_EDGE_S = 10; // Native players start three segments behind the newest one.
  const STALL_MS = 12000;
  const RETRY_MS = [1000, 2000, 3000, 5000];

  let failures = 0;
  let timer = 0;
  let lastTime = -1;
  let movedAt = performance.now();
  let started = false;

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

  const edge = () => (video.seekable.length ? video.seekable.end(video.seekable.length - 1) : NaN);

  const load = () => {
    timer = 0;
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
    const end = edge();
    if (Number.isFinite(end)) video.currentTime = Math.max(0, end - 4);
    video.play().catch(() => {});
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
    const behind = edge() - time;
    const known = started && Number.isFinite(behind) && behind >= 0;
    show("behind", known ? behind.toFixed(1) + " s" : "–");
    live.classList.toggle("on", known && !video.paused && behind < NEAR_EDGE_S);
    let ahead = 0;
    for (let i = 0; i < video.buffered.length; i += 1) {
      if (video.buffered.start(i) <= time && time <= video.buffered.end(i)) ahead = video.buffered.end(i) - time;
    }
    show("buffer", started ? ahead.toFixed(1) + " s" : "–");
    show("size", video.videoWidth ? video.videoWidth + "×" + video.videoHeight : "–");
  }, 500);

  load();
})();
