#!/bin/sh
# The foreign programs that the tests and benchmarks talk to, from Debian's packages. As root it installs what is
# missing; otherwise it names it. Nothing here is needed to run evotools itself.
set -eu

packages="ffmpeg vlc-bin vlc-plugin-base gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good
gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav chromium nginx-light libnginx-mod-rtmp rtmpdump mkvtoolnix gcc
libc6-dev openssl curl zsh fish groff-base mandoc"

command -v dpkg-query >/dev/null 2>&1 || {
    echo "tests: not a Debian system; install ffmpeg, VLC, GStreamer, Chromium, nginx with its rtmp module," \
        "rtmpdump, mkvtoolnix, Node and npm, zsh, fish, groff and mandoc" >&2
    exit 0
}

missing=""
for package in $packages; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
# Node of another packager brings its own npm and conflicts with Debian's.
command -v npm >/dev/null 2>&1 || missing="$missing nodejs npm"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "tests: missing programs; install them as root with: apt-get install$missing" >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# nginx must not start a server of its own on port 80 when it is installed.
if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
