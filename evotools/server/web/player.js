"use strict";
// The player page: live fMP4 over a WebSocket, native HLS where that cannot be, a live badge, and figures. Waits for
// streams that are not on air. `#hls` or `#websocket` behind the address insists on one of them.
(() => {
  const stage = document.getElementById("stage");
  const video = document.getElementById("video");
  const notice = document.getElementById("notice");
  const sound = document.getElementById("sound");
  const live = document.getElementById("live");
  const { hls, socket } = stage.dataset;
  const STALL_MS = 12000;
  const RETRY_MS = [1000, 2000, 3000, 5000];

  let player = null;
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

  document.getElementById("link-hls").hidden = !hls;
  const ways = [];
  if (location.hash !== "#hls" && SocketPlayer.possible()) ways.push([SocketPlayer, socket]);
  if (location.hash !== "#websocket" && hls && HlsPlayer.possible(video)) ways.push([HlsPlayer, hls]);

  const load = () => {
    timer = 0;
    movedAt = performance.now();
    lastTime = -1;
    player.start();
    video.play().catch(() => {});
  };

  const retry = (text) => {
    if (timer) return;
    started = false;
    say(text);
    player.stop();
    timer = setTimeout(load, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]);
    failures += 1;
  };

  const next = (reason) => {
    if (player) player.leave();
    player = null;
    clearTimeout(timer);
    timer = 0;
    started = false;
    const way = ways.shift();
    if (!way) {
      say(
        reason
          ? `This browser cannot play the stream (${reason}). Open one of the links below in VLC, mpv or ffplay.`
          : "This browser can play neither fMP4 nor HLS. Use a current one, or open one of the links below in VLC, mpv or ffplay."
      );
      return;
    }
    const [Player, url] = way;
    player = new Player(video, url, (what, text) => {
      if (what === "waiting") retry(text);
      else next(text);
    });
    stage.dataset.via = player.name;
    load();
  };

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
    if (player && player.toLive() === false && !live.classList.contains("on")) load();
  });

  setInterval(() => {
    if (!player) return;
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
    const behind = player.behind();
    const known = started && Number.isFinite(behind);
    show("behind", known ? Math.max(0, behind).toFixed(1) + " s" : "–");
    live.classList.toggle("on", started && !video.paused && !timer && !(known && behind > player.liveLimit));
    show("buffer", started ? ahead.toFixed(1) + " s" : "–");
    show("size", video.videoWidth ? video.videoWidth + "×" + video.videoHeight : "–");
  }, 500);

  next("");
})();
