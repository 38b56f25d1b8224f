// Plays one presentation with one player and keeps a record of what happened, which tests read as `record()`.
// What to play is in the fragment of the address, as JSON: {player, url, rate, buffer_s, select: [[seconds, height]…], options}.
"use strict";

const task = JSON.parse(decodeURIComponent(location.hash.slice(1)));
const video = document.getElementById("video");
const rounded = (seconds) => Math.round(seconds * 1000) / 1000;

const log = { errors: [], warnings: [], switches: [], gaps: [], jumps: [], stalls: 0, selected: [] };
let player = { latency: () => null, heights: () => [], select: () => false };

function fail(text) {
  if (log.errors.length < 50) log.errors.push(text);
}

function warn(text) {
  if (log.warnings.length < 50 && !log.warnings.includes(text)) log.warnings.push(text);
}

function switched(what) {
  log.switches.push([rounded(video.currentTime), String(what)]);
}

function script(source) {
  return new Promise((done, broken) => {
    const element = document.createElement("script");
    element.src = source;
    element.onload = done;
    element.onerror = () => broken(new Error(`${source} is missing`));
    document.head.append(element);
  });
}

const players = {
  async native() {
    video.addEventListener("resize", () => switched(`${video.videoHeight}`));
    video.src = task.url;
    return player;
  },

  async hlsjs() {
    await script("/lib/hls.js/dist/hls.min.js");
    const retry = { maxNumRetry: 1, retryDelayMs: 200, maxRetryDelayMs: 200 };
    const policy = { default: { maxTimeToFirstByteMs: 10000, maxLoadTimeMs: 10000, timeoutRetry: retry, errorRetry: retry } };
    const hls = new Hls({
      maxBufferLength: task.buffer_s,
      maxMaxBufferLength: task.buffer_s,
      testBandwidth: false,
      // After two seconds in which a slow machine shows nothing, or a "waiting" of the video element, it would leave out
      // a tenth of a second of good media.
      highBufferWatchdogPeriod: 30,
      nudgeOffset: 0.01,
      playlistLoadPolicy: policy,
      fragLoadPolicy: policy,
      ...(task.options || {}),
    });
    hls.on(Hls.Events.ERROR, (_, data) => {
      const text = `hls.js: ${data.details}${data.response ? ` ${data.response.code}` : ""}: ` +
        `${data.error ? data.error.message : ""} ${data.frag ? data.frag.url : ""}`;
      (data.fatal ? fail : warn)(text);
    });
    hls.on(Hls.Events.LEVEL_SWITCHED, (_, data) => switched(hls.levels[data.level].height));
    hls.loadSource(task.url);
    hls.attachMedia(video);
    return {
      latency: () => hls.latency,
      heights: () => hls.levels.map((level) => level.height),
      select(height) {
        const level = hls.levels.findIndex((l) => l.height === height);
        if (level < 0) return false;
        hls.nextLevel = level;
        return true;
      },
    };
  },

  async dashjs() {
    await script("/lib/dashjs/dist/modern/umd/dash.all.min.js");
    const dash = dashjs.MediaPlayer().create();
    const retries = { MPD: 1, MediaSegment: 1, InitializationSegment: 1, XLinkExpansion: 0, other: 0 };
    dash.updateSettings({
      debug: { logLevel: dashjs.Debug.LOG_LEVEL_NONE },
      streaming: {
        retryAttempts: retries,
        buffer: { bufferTimeDefault: task.buffer_s, bufferTimeAtTopQuality: task.buffer_s,
          bufferTimeAtTopQualityLongForm: task.buffer_s },
        abr: { autoSwitchBitrate: { video: !task.select.length } },
        // When a slow machine stalls near the end it would take what is left for a hole, and go past it and back again.
        gaps: { smallGapLimit: 0.1 },
        ...(task.options || {}),
      },
    });
    dash.on(dashjs.MediaPlayer.events.ERROR, (event) =>
      fail(`dash.js: ${event.error.code ?? ""} ${event.error.message ?? JSON.stringify(event.error)}`));
    dash.on(dashjs.MediaPlayer.events.PLAYBACK_ERROR, (event) =>
      fail(`dash.js: playback: ${event.error ? event.error.message : ""}`));
    dash.on(dashjs.MediaPlayer.events.FRAGMENT_LOADING_ABANDONED, (event) => warn(`dash.js: abandoned ${event.mediaType}`));
    dash.on(dashjs.MediaPlayer.events.CONFORMANCE_VIOLATION, (event) =>
      warn(`dash.js: ${event.level}: ${event.event.key}: ${event.event.message}`));
    dash.on(dashjs.MediaPlayer.events.QUALITY_CHANGE_RENDERED, (event) => {
      if (event.mediaType === "video") switched(event.newRepresentation.height);
    });
    dash.initialize(video, null, true);
    // Else it asks a server on the Internet for the time when the manifest names none.
    dash.clearDefaultUTCTimingSources();
    dash.attachSource(task.url);
    const representations = () => dash.isReady() ? dash.getRepresentationsByType("video") : [];
    return {
      latency: () => dash.isReady() ? dash.getCurrentLiveLatency() : null,
      heights: () => representations().map((r) => r.height),
      select(height) {
        const found = representations().find((r) => r.height === height);
        if (found) dash.setRepresentationForTypeById("video", found.id, false);
        return Boolean(found);
      },
    };
  },

  async shaka() {
    await script("/lib/shaka-player/dist/shaka-player.compiled.js");
    const engine = new shaka.Player();
    const told = (error) =>
      `Shaka: ${error.category}.${error.code} ${Object.entries(shaka.util.Error.Code).find((e) => e[1] === error.code)?.[0]} ` +
      `${JSON.stringify(error.data ?? []).slice(0, 400)}`;
    engine.addEventListener("error", (event) => {
      (event.detail.severity === shaka.util.Error.Severity.CRITICAL ? fail : warn)(told(event.detail));
    });
    const visible = () => {
      const active = engine.getVariantTracks().find((track) => track.active);
      if (active) switched(active.height);
    };
    engine.addEventListener("adaptation", visible);
    engine.addEventListener("variantchanged", visible);
    const retry = { maxAttempts: 2, baseDelay: 200, timeout: 10000 };
    engine.configure({
      abr: { enabled: !task.select.length },
      manifest: { retryParameters: retry },
      streaming: { bufferingGoal: task.buffer_s, retryParameters: retry },
    });
    if (task.options) engine.configure(task.options);
    await engine.attach(video);
    try {
      await engine.load(task.url);
    } catch (error) {
      fail(error.category ? told(error) : String(error));
      return player;
    }
    // It sets the rate itself whenever it begins or ends to wait for media, so it must know which.
    if (task.rate !== 1) engine.trickPlay(task.rate, false);
    return {
      latency: () => engine.isLive() ? (Date.now() - engine.getPlayheadTimeAsDate()) / 1000 : null,
      heights: () => engine.getVariantTracks().map((track) => track.height),
      select(height) {
        const tracks = engine.getVariantTracks();
        const active = tracks.find((track) => track.active);
        const found = tracks.find((t) => t.height === height && (!active || t.audioId === active.audioId));
        if (found) engine.selectVariantTrack(found, false);
        return Boolean(found);
      },
    };
  },
};

function ranges(list) {
  return Array.from({ length: list.length }, (_, i) => [rounded(list.start(i)), rounded(list.end(i))]);
}

// What is buffered ahead of the picture in more than one piece; a piece that later fills the hole takes it back.
let holes = new Map();
function look() {
  const pieces = ranges(video.buffered);
  for (let i = 1; i < pieces.length; i++) {
    holes.set(`${pieces[i - 1][1]}-${pieces[i][0]}`, [pieces[i - 1][1], pieces[i][0]]);
  }
  for (const [key, [from, to]] of holes) {
    if (pieces.some(([start, end]) => start < from && end > to)) holes.delete(key);
  }
}

let last = 0;
let begun = false;
video.addEventListener("timeupdate", () => {
  last = video.seeking ? last : video.currentTime;
  const next = task.select[log.selected.length];
  if (next && video.currentTime >= next[0]) {
    log.selected.push(player.select(next[1]));
  }
});
video.addEventListener("progress", look);
video.addEventListener("timeupdate", look);
video.addEventListener("seeking", () => {
  if (begun) log.jumps.push([rounded(last), rounded(video.currentTime)]);
  last = video.currentTime;
});
video.addEventListener("playing", () => {
  begun = true;
  // Here, not earlier: players set the rate themselves while they load.
  if (task.rate !== 1 && task.player !== "shaka") video.playbackRate = task.rate;
});
video.addEventListener("waiting", () => { if (begun) log.stalls++; });
video.addEventListener("error", () => {
  // An empty source is how players let go of the element.
  if (video.error) fail(`video element: ${video.error.code} ${video.error.message}`);
});

function record() {
  const quality = video.getVideoPlaybackQuality();
  return {
    ...log,
    gaps: [...holes.values()],
    heights: [...new Set(player.heights())].filter(Boolean).sort((a, b) => a - b),
    current_time: video.currentTime,
    duration: Number.isFinite(video.duration) ? video.duration : null,
    ended: video.ended,
    paused: video.paused,
    ready_state: video.readyState,
    width: video.videoWidth,
    height: video.videoHeight,
    played: ranges(video.played),
    seen: rounded(ranges(video.played).reduce((sum, [start, end]) => sum + end - start, 0)),
    buffered: ranges(video.buffered),
    frames: quality.totalVideoFrames,
    dropped: quality.droppedVideoFrames,
    video_bytes: video.webkitVideoDecodedByteCount ?? 0,
    audio_bytes: video.webkitAudioDecodedByteCount ?? 0,
    latency_s: player.latency(),
  };
}

(async () => {
  try {
    player = await players[task.player]();
  } catch (error) {
    fail(`${task.player}: ${error}`);
  }
  // dash.js must begin by itself: else it never learns that it plays, and reads the manifest but once.
  // A player that meets an error takes the source away, which ends `play`; it tells the error itself.
  if (task.player !== "dashjs") video.play().catch((error) => warn(`play: ${error}`));
})();
