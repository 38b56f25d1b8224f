# Generated from the commands' declarations by `make docs`; do not edit.

set -g __evotools_valued_anywhere --log-format --events --color --config
set -g __evotools_valued \
    'ingest -o' \
    'ingest --output' \
    'ingest -f' \
    'ingest --format' \
    'ingest --input-format' \
    'ingest --track' \
    'ingest --drop' \
    'ingest -t' \
    'ingest --duration' \
    'ingest --timeout' \
    'ingest --reconnect' \
    'ingest --on-overflow' \
    'ingest --latency' \
    'relay -i' \
    'relay --input' \
    'relay -f' \
    'relay --format' \
    'relay --input-format' \
    'relay --track' \
    'relay --drop' \
    'relay -t' \
    'relay --duration' \
    'relay --timeout' \
    'relay --reconnect' \
    'relay --reconnect-input' \
    'relay --on-overflow' \
    'relay --latency' \
    'relay --max-loss' \
    'segment -i' \
    'segment --input' \
    'segment --every' \
    'segment --time' \
    'segment --size' \
    'segment -f' \
    'segment --format' \
    'segment --keep' \
    'segment --list' \
    'segment --list-format' \
    'segment --start-number' \
    'segment --timestamps' \
    'segment --input-format' \
    'segment --track' \
    'segment --drop' \
    'segment -t' \
    'segment --duration' \
    'segment --timeout' \
    'segment --reconnect' \
    'segment --on-overflow' \
    'package -i' \
    'package --input' \
    'package --input-format' \
    'package --track' \
    'package --drop' \
    'package -f' \
    'package --format' \
    'package --type' \
    'package --segment' \
    'package --window' \
    'package -t' \
    'package --duration' \
    'package --timeout' \
    'package --reconnect' \
    'package --on-overflow' \
    'probe -f' \
    'probe --format' \
    'probe --track' \
    'probe --drop' \
    'probe -t' \
    'probe --duration' \
    'probe --timeout' \
    'probe --expect' \
    'probe --min-fps' \
    'probe --min-bitrate' \
    'probe --max-gop' \
    'probe --max-gap' \
    'probe --max-skew' \
    'probe --watch' \
    'videogen -o' \
    'videogen --output' \
    'videogen -f' \
    'videogen --format' \
    'videogen -t' \
    'videogen --duration' \
    'videogen --seed' \
    'videogen --start-time' \
    'videogen -s' \
    'videogen --size' \
    'videogen -r' \
    'videogen --fps' \
    'videogen -g' \
    'videogen --gop' \
    'videogen -c' \
    'videogen --codec' \
    'videogen --bitrate' \
    'videogen --profile' \
    'videogen --level' \
    'videogen --preset' \
    'videogen --tune' \
    'videogen --pix-fmt' \
    'videogen --ladder' \
    'videogen --video-option' \
    'videogen --audio' \
    'videogen --audio-bitrate' \
    'videogen --audio-rate' \
    'videogen --channels' \
    'videogen --tone' \
    'videogen --language' \
    'videogen --audio-option' \
    'videogen --option' \
    'videogen --pattern' \
    'calc-hardware --viewers' \
    'calc-hardware --publishers' \
    'calc-hardware --bitrate' \
    'calc-hardware --ladder' \
    'calc-hardware --stream' \
    'calc-hardware --from' \
    'calc-hardware --deliver' \
    'calc-hardware --record' \
    'calc-hardware --dvr' \
    'calc-hardware --package' \
    'calc-hardware --cpu-mark' \
    'calc-hardware --cores' \
    'calc-hardware --ram' \
    'calc-hardware --link' \
    'calc-hardware --disk' \
    'calc-hardware --profile' \
    'calc-hardware --margin' \
    'calc-hardware --cpu-per-connection' \
    'calc-hardware --cpu-per-publisher' \
    'calc-hardware --cpu-mark-per-core' \
    'calc-hardware --ram-per-connection' \
    'calc-hardware --ram-windows' \
    'calc-hardware --set' \
    'calc-hardware --scale' \
    'calc-hardware --svg' \
    'serve -c' \
    'serve --config' \
    'serve --set' \
    'serve --stream' \
    'serve --allow-publish' \
    'serve --flush-interval'

# Whether command $argv[1] stands on the line; an empty one: none does yet. With a
# number, whether the cursor is at that argument of it.
function __evotools_at
    set -l words (commandline -opc)
    set -l command ''
    set -l position 1
    set -l skip 0
    for word in $words[2..-1]
        if test $skip = 1
            set skip 0
        else if string match -q -- '-?*' $word
            if not string match -q -- '*=*' $word
                and contains -- "$command $word" $__evotools_valued
                or contains -- $word $__evotools_valued_anywhere
                set skip 1
            end
        else if test -z "$command"
            set command $word
        else
            set position (math $position + 1)
        end
    end
    test "$command" = "$argv[1]"
    and test -z "$argv[2]" -o "$position" = "$argv[2]"
end

function __evotools_destination
    printf '%s\t%s\n' '-' 'standard input or output'
    printf '%s\t%s\n' 'null:' 'discards'
    printf '%s\t%s\n' 'fd:' 'an open descriptor'
    printf '%s\t%s\n' 'exec:' 'a program\'s standard output or input'
    printf '%s\t%s\n' 'ts-exec:' 'a program that speaks MPEG-TS'
    printf '%s\t%s\n' 'udp://' 'MPEG-TS over UDP, unicast or multicast'
    printf '%s\t%s\n' 'tcp://' 'a byte stream (MPEG-TS, FLV, Matroska)'
    printf '%s\t%s\n' 'rtmp://' 'RTMP publish and play'
    printf '%s\t%s\n' 'rtmps://' 'the same over TLS'
    printf '%s\t%s\n' 'http://' 'media from an HTTP server, and a stream sent to one'
    printf '%s\t%s\n' 'https://' 'the same over TLS'
    printf '%s\t%s\n' 'hub:' 'a stream inside a running serve'
    printf '%s\t%s\n' 'segment:' 'files, cut at key frames'
    printf '%s\t%s\n' 'package:' 'a folder of HLS and DASH'
end

function __evotools_format
    echo 'aac'
    echo 'ac3'
    echo 'adts'
    echo 'auto'
    echo 'avi'
    echo 'flac'
    echo 'flv'
    echo 'fmp4'
    echo 'h264'
    echo 'h265'
    echo 'hevc'
    echo 'm2ts'
    echo 'matroska'
    echo 'mkv'
    echo 'mov'
    echo 'mp3'
    echo 'mp4'
    echo 'mpegts'
    echo 'mxf'
    echo 'nut'
    echo 'ogg'
    echo 'opus'
    echo 'ts'
    echo 'wav'
    echo 'webm'
    echo 'y4m'
end

function __evotools_tracks
    echo 'all'
    echo 'none'
    echo 'video'
    echo 'audio'
    echo 'data'
    echo 'video:'
    echo 'audio:'
    echo 'audio:lang='
end

function __evotools_source
    printf '%s\t%s\n' '-' 'standard input or output'
    printf '%s\t%s\n' 'fd:' 'an open descriptor'
    printf '%s\t%s\n' 'test:' 'the built-in test stream (videogen)'
    printf '%s\t%s\n' 'exec:' 'a program\'s standard output or input'
    printf '%s\t%s\n' 'ts-exec:' 'a program that speaks MPEG-TS'
    printf '%s\t%s\n' 'udp://' 'MPEG-TS over UDP, unicast or multicast'
    printf '%s\t%s\n' 'tcp://' 'a byte stream (MPEG-TS, FLV, Matroska)'
    printf '%s\t%s\n' 'rtmp://' 'RTMP publish and play'
    printf '%s\t%s\n' 'rtmps://' 'the same over TLS'
    printf '%s\t%s\n' 'http://' 'media from an HTTP server, and a stream sent to one'
    printf '%s\t%s\n' 'https://' 'the same over TLS'
    printf '%s\t%s\n' 'hub:' 'a stream inside a running serve'
    printf '%s\t%s\n' 'rtsp://' 'RTSP, media inside the connection unless transport says other'
    printf '%s\t%s\n' 'rtsps://' 'RTSP over TLS'
    printf '%s\t%s\n' 'rtmpt://' 'RTMP in HTTP requests'
    printf '%s\t%s\n' 'rtp://' 'RTP over UDP'
    printf '%s\t%s\n' 'srtp://' 'RTP over UDP, encrypted'
    printf '%s\t%s\n' 'ftp://' 'a file by FTP'
end

function __evotools_mixed_1
    echo 'stderr'
    printf '%s\t%s\n' 'fd:' 'an open descriptor'
end

function __evotools_mixed_2
    printf '%s\t%s\n' '-' 'standard input or output'
end

function __evotools_mixed_3
    echo 'evotools'
    echo 'mistserver-2018'
end

function __evotools_key
    echo 'hub.flush_interval='
    echo 'hub.flush_ceiling='
    echo 'hub.stats='
    echo 'hub.io_uring='
    echo 'hub.grace='
    echo 'hub.max_streams='
    echo 'hub.keep='
    echo 'hub.keep_bytes='
    echo 'hub.slow='
    echo 'hub.max_lag='
    echo 'hub.max_lag_bytes='
    echo 'hub.stall='
    echo 'hub.start='
    echo 'hub.conflict='
    echo 'hub.replace_silent='
    echo 'rtmp.enabled='
    echo 'rtmp.listen='
    echo 'rtmp.listen_tls='
    echo 'rtmp.max_connections='
    echo 'rtmp.max_per_peer='
    echo 'rtmp.idle='
    echo 'rtmp.challenge='
    echo 'rtmp.flush_interval='
    echo 'http.enabled='
    echo 'http.listen='
    echo 'http.listen_tls='
    echo 'http.max_connections='
    echo 'http.flush_interval='
    echo 'hls.enabled='
    echo 'hls.segment='
    echo 'hls.segments='
    echo 'hls.always='
    echo 'hls.idle='
    echo 'tls.cert='
    echo 'tls.key='
    echo 'access.trust_loopback='
    echo 'access.allow_publish='
    echo 'access.allow_read='
    echo 'access.trusted_proxies='
end

complete -c evotools -f

complete -c evotools -n "__evotools_at ''" -s q -l quiet -d 'Errors only'
complete -c evotools -n "__evotools_at ''" -s v -l verbose -d 'Connections and tracks too'
complete -c evotools -n "__evotools_at ''" -o vv -d 'Protocol messages too, and the trace of an error'
complete -c evotools -n "__evotools_at ''" -l log-format -r -f -a 'text json' -d 'Form of the messages on standard error'
complete -c evotools -n "__evotools_at ''" -l events -r -F -a '(__evotools_mixed_1)' -d 'Write events, one JSON object a line, to a file, a descriptor or standard error'
complete -c evotools -n "__evotools_at ''" -l color -r -f -a 'auto always never' -d 'Colours'
complete -c evotools -n "__evotools_at ''" -l config -r -F -d 'Defaults of options from this file, over those of the user and the system'
complete -c evotools -n "__evotools_at ''" -l no-config -d 'Read no configuration file'
complete -c evotools -n "__evotools_at ''" -l print-config -d 'Print the TOML that makes serve do this job, and exit'
complete -c evotools -n "__evotools_at ''" -l dry-run -d 'Say what would happen, and exit'
complete -c evotools -n "__evotools_at ''" -s h -d 'Help on one screen'
complete -c evotools -n "__evotools_at ''" -l help -d 'All of the help'
complete -c evotools -n "__evotools_at ''" -s V -l version -d 'Versions of evotools and its libraries'
complete -c evotools -n "__evotools_at ''" -a ingest -d 'listen for or pull one live stream; media on stdout'
complete -c evotools -n "__evotools_at ''" -a relay -d 'send a stream to one or many destinations, each with its own reconnect'
complete -c evotools -n "__evotools_at ''" -a segment -d 'record a stream in files, cut by time, clock, size or key frame'
complete -c evotools -n "__evotools_at ''" -a package -d 'make HLS and DASH from files or live streams'
complete -c evotools -n "__evotools_at ''" -a probe -d 'inspect, judge or watch a stream'
complete -c evotools -n "__evotools_at ''" -a videogen -d 'make a test stream with clock, tone and readable time'
complete -c evotools -n "__evotools_at ''" -a calc-hardware -d 'what hardware a load needs, and what load hardware carries'
complete -c evotools -n "__evotools_at ''" -a serve -d 'the media server'
complete -c evotools -n "__evotools_at ''" -a formats -d 'containers, codecs and URI schemes that evotools reads and writes'
complete -c evotools -n "__evotools_at ''" -a completion -d 'completion script for bash, zsh or fish'
complete -c evotools -n "__evotools_at ''" -a help -d 'help on a command, a URI scheme or the exit codes'
complete -c evotools -n "__evotools_at ''" -a version -d 'version of evotools and of the libraries it uses'

# ingest
complete -c evotools -n '__evotools_at ingest 1' -F -a '(__evotools_source)'
complete -c evotools -n "__evotools_at ingest" -s o -l output -r -F -a '(__evotools_destination)' -d 'Where the media goes'
complete -c evotools -n "__evotools_at ingest" -s f -l format -r -f -a 'auto ts flv mkv' -d 'Container of the output'
complete -c evotools -n "__evotools_at ingest" -l input-format -r -f -a '(__evotools_format)' -d 'Container of the source'
complete -c evotools -n "__evotools_at ingest" -l track -r -f -a '(__evotools_tracks)' -d 'Keep only these tracks (video, audio:1, audio:lang=de, #3)'
complete -c evotools -n "__evotools_at ingest" -l drop -r -f -a '(__evotools_tracks)' -d 'Leave these tracks out (as --track names them)'
complete -c evotools -n "__evotools_at ingest" -s t -l duration -r -f -d 'Stop after this much media'
complete -c evotools -n "__evotools_at ingest" -l timeout -r -f -d 'Longest wait for media'
complete -c evotools -n "__evotools_at ingest" -l reconnect -r -f -a 'forever' -d 'Open a lost source again, this often in a row'
complete -c evotools -n "__evotools_at ingest" -l on-overflow -r -f -a 'drop wait fail' -d 'When a destination is slower than a live source: drop to the next key frame, wait, or fail'
complete -c evotools -n "__evotools_at ingest" -l latency -r -f -a 'normal low' -d 'low sends every audio frame at once'
complete -c evotools -n "__evotools_at ingest" -s y -l force -d 'Overwrite files that exist'
complete -c evotools -n "__evotools_at ingest" -s q -l quiet -d 'Errors only'
complete -c evotools -n "__evotools_at ingest" -s v -l verbose -d 'Connections and tracks too'
complete -c evotools -n "__evotools_at ingest" -o vv -d 'Protocol messages too, and the trace of an error'
complete -c evotools -n "__evotools_at ingest" -l log-format -r -f -a 'text json' -d 'Form of the messages on standard error'
complete -c evotools -n "__evotools_at ingest" -l events -r -F -a '(__evotools_mixed_1)' -d 'Write events, one JSON object a line, to a file, a descriptor or standard error'
complete -c evotools -n "__evotools_at ingest" -l color -r -f -a 'auto always never' -d 'Colours'
complete -c evotools -n "__evotools_at ingest" -l config -r -F -d 'Defaults of options from this file, over those of the user and the system'
complete -c evotools -n "__evotools_at ingest" -l no-config -d 'Read no configuration file'
complete -c evotools -n "__evotools_at ingest" -l print-config -d 'Print the TOML that makes serve do this job, and exit'
complete -c evotools -n "__evotools_at ingest" -l dry-run -d 'Say what would happen, and exit'
complete -c evotools -n "__evotools_at ingest" -s h -d 'Help on one screen'
complete -c evotools -n "__evotools_at ingest" -l help -d 'All of the help'

# relay
complete -c evotools -n '__evotools_at relay' -F -a '(__evotools_destination)'
complete -c evotools -n "__evotools_at relay" -s i -l input -r -F -a '(__evotools_source)' -d 'URI or file to send'
complete -c evotools -n "__evotools_at relay" -s f -l format -r -f -a '(__evotools_format)' -d 'Container of destinations whose name does not tell it'
complete -c evotools -n "__evotools_at relay" -l input-format -r -f -a '(__evotools_format)' -d 'Container of the source'
complete -c evotools -n "__evotools_at relay" -l track -r -f -a '(__evotools_tracks)' -d 'Keep only these tracks (video, audio:1, audio:lang=de, #3)'
complete -c evotools -n "__evotools_at relay" -l drop -r -f -a '(__evotools_tracks)' -d 'Leave these tracks out (as --track names them)'
complete -c evotools -n "__evotools_at relay" -s t -l duration -r -f -d 'Stop after this much media'
complete -c evotools -n "__evotools_at relay" -l timeout -r -f -d 'Longest wait for media'
complete -c evotools -n "__evotools_at relay" -l reconnect -r -f -a 'forever' -d 'Open a lost destination again, this often in a row'
complete -c evotools -n "__evotools_at relay" -l reconnect-input -r -f -a 'forever' -d 'Open a lost input again, this often in a row'
complete -c evotools -n "__evotools_at relay" -l pace -d 'Send stored media to live peers at its own speed'
complete -c evotools -n "__evotools_at relay" -l no-pace -d 'Send stored media to live peers at its own speed'
complete -c evotools -n "__evotools_at relay" -l on-overflow -r -f -a 'drop wait fail' -d 'When a destination is slower than a live source: drop to the next key frame, wait, or fail'
complete -c evotools -n "__evotools_at relay" -l latency -r -f -a 'normal low' -d 'low sends every audio frame at once'
complete -c evotools -n "__evotools_at relay" -l fail-fast -d 'Stop when the first destination is given up'
complete -c evotools -n "__evotools_at relay" -l max-loss -r -f -d 'Exit 3 when a destination lost more of its frames than this'
complete -c evotools -n "__evotools_at relay" -s y -l force -d 'Overwrite files that exist'
complete -c evotools -n "__evotools_at relay" -s q -l quiet -d 'Errors only'
complete -c evotools -n "__evotools_at relay" -s v -l verbose -d 'Connections and tracks too'
complete -c evotools -n "__evotools_at relay" -o vv -d 'Protocol messages too, and the trace of an error'
complete -c evotools -n "__evotools_at relay" -l log-format -r -f -a 'text json' -d 'Form of the messages on standard error'
complete -c evotools -n "__evotools_at relay" -l events -r -F -a '(__evotools_mixed_1)' -d 'Write events, one JSON object a line, to a file, a descriptor or standard error'
complete -c evotools -n "__evotools_at relay" -l color -r -f -a 'auto always never' -d 'Colours'
complete -c evotools -n "__evotools_at relay" -l config -r -F -d 'Defaults of options from this file, over those of the user and the system'
complete -c evotools -n "__evotools_at relay" -l no-config -d 'Read no configuration file'
complete -c evotools -n "__evotools_at relay" -l print-config -d 'Print the TOML that makes serve do this job, and exit'
complete -c evotools -n "__evotools_at relay" -l dry-run -d 'Say what would happen, and exit'
complete -c evotools -n "__evotools_at relay" -s h -d 'Help on one screen'
complete -c evotools -n "__evotools_at relay" -l help -d 'All of the help'

# segment
complete -c evotools -n '__evotools_at segment 1' -F
complete -c evotools -n "__evotools_at segment" -s i -l input -r -F -a '(__evotools_source)' -d 'What to record'
complete -c evotools -n "__evotools_at segment" -l every -r -f -d 'Begin a file at every multiple of D on the clock: 5m is :00 :05 :10, 1d is midnight'
complete -c evotools -n "__evotools_at segment" -l time -r -f -d 'Begin a file after each D of media, counted from the first file'
complete -c evotools -n "__evotools_at segment" -l size -r -f -d 'Begin a file before the current one grows beyond SIZE (100MB, 4GiB)'
complete -c evotools -n "__evotools_at segment" -l key -d 'Begin a file at every key frame'
complete -c evotools -n "__evotools_at segment" -s f -l format -r -f -a 'ts fmp4 mp4 mkv webm flv' -d 'Format of the files'
complete -c evotools -n "__evotools_at segment" -l keep -r -f -d 'Delete the oldest finished files beyond a number (10), an age (7d) or a size (10GB), those of earlier runs of PATTERN too'
complete -c evotools -n "__evotools_at segment" -l list -r -F -d 'Name the finished files in FILE: .m3u8 for players (HLS of ts and fmp4), .csv with begin and end, .ffconcat for ffmpeg'
complete -c evotools -n "__evotools_at segment" -l list-format -r -f -a 'm3u8 csv ffconcat' -d 'Format of the list'
complete -c evotools -n "__evotools_at segment" -l start-number -r -f -a 'next' -d 'First number of the counter'
complete -c evotools -n "__evotools_at segment" -l timestamps -r -f -a 'keep reset' -d 'Times in the files go on as in the source, or begin at zero in each'
complete -c evotools -n "__evotools_at segment" -l utc -d 'Names and clock in UTC instead of local time'
complete -c evotools -n "__evotools_at segment" -l sync -d 'Wait until the disk has a finished file before its name is printed: for power cuts'
complete -c evotools -n "__evotools_at segment" -l input-format -r -f -a '(__evotools_format)' -d 'Container of the source'
complete -c evotools -n "__evotools_at segment" -l track -r -f -a '(__evotools_tracks)' -d 'Keep only these tracks (video, audio:1, audio:lang=de, #3)'
complete -c evotools -n "__evotools_at segment" -l drop -r -f -a '(__evotools_tracks)' -d 'Leave these tracks out (as --track names them)'
complete -c evotools -n "__evotools_at segment" -s t -l duration -r -f -d 'Stop after this much media'
complete -c evotools -n "__evotools_at segment" -l timeout -r -f -d 'Longest wait for media'
complete -c evotools -n "__evotools_at segment" -l reconnect -r -f -a 'forever' -d 'Open a lost input again, this often in a row'
complete -c evotools -n "__evotools_at segment" -l on-overflow -r -f -a 'drop wait fail' -d 'When a destination is slower than a live source: drop to the next key frame, wait, or fail'
complete -c evotools -n "__evotools_at segment" -s y -l force -d 'Overwrite files that exist'
complete -c evotools -n "__evotools_at segment" -s q -l quiet -d 'Errors only'
complete -c evotools -n "__evotools_at segment" -s v -l verbose -d 'Connections and tracks too'
complete -c evotools -n "__evotools_at segment" -o vv -d 'Protocol messages too, and the trace of an error'
complete -c evotools -n "__evotools_at segment" -l log-format -r -f -a 'text json' -d 'Form of the messages on standard error'
complete -c evotools -n "__evotools_at segment" -l events -r -F -a '(__evotools_mixed_1)' -d 'Write events, one JSON object a line, to a file, a descriptor or standard error'
complete -c evotools -n "__evotools_at segment" -l color -r -f -a 'auto always never' -d 'Colours'
complete -c evotools -n "__evotools_at segment" -l config -r -F -d 'Defaults of options from this file, over those of the user and the system'
complete -c evotools -n "__evotools_at segment" -l no-config -d 'Read no configuration file'
complete -c evotools -n "__evotools_at segment" -l print-config -d 'Print the TOML that makes serve do this job, and exit'
complete -c evotools -n "__evotools_at segment" -l dry-run -d 'Say what would happen, and exit'
complete -c evotools -n "__evotools_at segment" -s h -d 'Help on one screen'
complete -c evotools -n "__evotools_at segment" -l help -d 'All of the help'

# package
complete -c evotools -n '__evotools_at package 1' -f -a '(__fish_complete_directories)'
complete -c evotools -n "__evotools_at package" -s i -l input -r -F -a '(__evotools_source)' -d 'URI or file to package'
complete -c evotools -n "__evotools_at package" -l input-format -r -f -a '(__evotools_format)' -d 'Container of the source'
complete -c evotools -n "__evotools_at package" -l track -r -f -a '(__evotools_tracks)' -d 'Keep only these tracks (video, audio:1, audio:lang=de, #3)'
complete -c evotools -n "__evotools_at package" -l drop -r -f -a '(__evotools_tracks)' -d 'Leave these tracks out (as --track names them)'
complete -c evotools -n "__evotools_at package" -s f -l format -r -f -a 'fmp4 ts' -d 'Container of the segments'
complete -c evotools -n "__evotools_at package" -l hls -d 'Write HLS playlists'
complete -c evotools -n "__evotools_at package" -l no-hls -d 'Write HLS playlists'
complete -c evotools -n "__evotools_at package" -l dash -d 'Write a DASH manifest'
complete -c evotools -n "__evotools_at package" -l no-dash -d 'Write a DASH manifest'
complete -c evotools -n "__evotools_at package" -l type -r -f -a 'vod event live' -d 'vod: manifests at the end'
complete -c evotools -n "__evotools_at package" -l segment -r -f -d 'Target duration of a segment'
complete -c evotools -n "__evotools_at package" -l window -r -f -a 'all' -d 'What a live presentation shows'
complete -c evotools -n "__evotools_at package" -l endlist -d 'Say at the end of a live or event presentation that nothing follows'
complete -c evotools -n "__evotools_at package" -l no-endlist -d 'Say at the end of a live or event presentation that nothing follows'
complete -c evotools -n "__evotools_at package" -l require-aligned -d 'Exit 3 when the inputs\' segments do not begin at the same instants'
complete -c evotools -n "__evotools_at package" -s t -l duration -r -f -d 'Stop after this much media'
complete -c evotools -n "__evotools_at package" -l timeout -r -f -d 'Longest wait for media'
complete -c evotools -n "__evotools_at package" -l reconnect -r -f -a 'forever' -d 'Open a lost input again, this often in a row'
complete -c evotools -n "__evotools_at package" -l pace -d 'Package a file as --type live at its own speed'
complete -c evotools -n "__evotools_at package" -l no-pace -d 'Package a file as --type live at its own speed'
complete -c evotools -n "__evotools_at package" -l on-overflow -r -f -a 'drop wait fail' -d 'When a destination is slower than a live source: drop to the next key frame, wait, or fail'
complete -c evotools -n "__evotools_at package" -s y -l force -d 'Replace what evotools package wrote into the folder'
complete -c evotools -n "__evotools_at package" -s q -l quiet -d 'Errors only'
complete -c evotools -n "__evotools_at package" -s v -l verbose -d 'Connections and tracks too'
complete -c evotools -n "__evotools_at package" -o vv -d 'Protocol messages too, and the trace of an error'
complete -c evotools -n "__evotools_at package" -l log-format -r -f -a 'text json' -d 'Form of the messages on standard error'
complete -c evotools -n "__evotools_at package" -l events -r -F -a '(__evotools_mixed_1)' -d 'Write events, one JSON object a line, to a file, a descriptor or standard error'
complete -c evotools -n "__evotools_at package" -l color -r -f -a 'auto always never' -d 'Colours'
complete -c evotools -n "__evotools_at package" -l config -r -F -d 'Defaults of options from this file, over those of the user and the system'
complete -c evotools -n "__evotools_at package" -l no-config -d 'Read no configuration file'
complete -c evotools -n "__evotools_at package" -l print-config -d 'Print the TOML that makes serve do this job, and exit'
complete -c evotools -n "__evotools_at package" -l dry-run -d 'Say what would happen, and exit'
complete -c evotools -n "__evotools_at package" -s h -d 'Help on one screen'
complete -c evotools -n "__evotools_at package" -l help -d 'All of the help'

# probe
complete -c evotools -n '__evotools_at probe 1' -F -a '(__evotools_source)'
complete -c evotools -n "__evotools_at probe" -s f -l format -r -f -a '(__evotools_format)' -d 'Container of the source'
complete -c evotools -n "__evotools_at probe" -l track -r -f -a '(__evotools_tracks)' -d 'Keep only these tracks (video, audio:1, audio:lang=de, #3)'
complete -c evotools -n "__evotools_at probe" -l drop -r -f -a '(__evotools_tracks)' -d 'Leave these tracks out (as --track names them)'
complete -c evotools -n "__evotools_at probe" -s t -l duration -r -f -d 'Stop after this much media'
complete -c evotools -n "__evotools_at probe" -l timeout -r -f -d 'Longest wait for media'
complete -c evotools -n "__evotools_at probe" -l expect -r -f -d 'A track that must be there, such as video=h264,1280x720@30'
complete -c evotools -n "__evotools_at probe" -l min-fps -r -f -d 'Lowest frame rate of each video track'
complete -c evotools -n "__evotools_at probe" -l min-bitrate -r -f -d 'Lowest bit rate of all tracks together'
complete -c evotools -n "__evotools_at probe" -l max-gop -r -f -d 'Longest time between key frames'
complete -c evotools -n "__evotools_at probe" -l max-gap -r -f -d 'Longest step between two frames of a track'
complete -c evotools -n "__evotools_at probe" -l max-skew -r -f -d 'Largest distance of audio and video, at the start and while running'
complete -c evotools -n "__evotools_at probe" -l watch -r -f -d 'Print a line of figures every D'
complete -c evotools -n "__evotools_at probe" -l json -d 'The report as JSON'
complete -c evotools -n "__evotools_at probe" -l nagios -d 'One line and exit codes for monitoring: 0 ok, 1 warning, 2 critical, 3 unknown'
complete -c evotools -n "__evotools_at probe" -s q -l quiet -d 'Errors only'
complete -c evotools -n "__evotools_at probe" -s v -l verbose -d 'Connections and tracks too'
complete -c evotools -n "__evotools_at probe" -o vv -d 'Protocol messages too, and the trace of an error'
complete -c evotools -n "__evotools_at probe" -l log-format -r -f -a 'text json' -d 'Form of the messages on standard error'
complete -c evotools -n "__evotools_at probe" -l events -r -F -a '(__evotools_mixed_1)' -d 'Write events, one JSON object a line, to a file, a descriptor or standard error'
complete -c evotools -n "__evotools_at probe" -l color -r -f -a 'auto always never' -d 'Colours'
complete -c evotools -n "__evotools_at probe" -l config -r -F -d 'Defaults of options from this file, over those of the user and the system'
complete -c evotools -n "__evotools_at probe" -l no-config -d 'Read no configuration file'
complete -c evotools -n "__evotools_at probe" -l print-config -d 'Print the TOML that makes serve do this job, and exit'
complete -c evotools -n "__evotools_at probe" -l dry-run -d 'Say what would happen, and exit'
complete -c evotools -n "__evotools_at probe" -s h -d 'Help on one screen'
complete -c evotools -n "__evotools_at probe" -l help -d 'All of the help'

# videogen
complete -c evotools -n '__evotools_at videogen 1' -F -a '(__evotools_destination)'
complete -c evotools -n "__evotools_at videogen" -s o -l output -r -F -a '(__evotools_destination)' -d 'The same as OUTPUT'
complete -c evotools -n "__evotools_at videogen" -s f -l format -r -f -a 'auto ts flv mkv' -d 'Container of the output'
complete -c evotools -n "__evotools_at videogen" -s y -l force -d 'Overwrite files that exist'
complete -c evotools -n "__evotools_at videogen" -s t -l duration -r -f -d 'Stop after this much media'
complete -c evotools -n "__evotools_at videogen" -l realtime -d 'Keep the pace of a camera, or go as fast as possible'
complete -c evotools -n "__evotools_at videogen" -l no-realtime -d 'Keep the pace of a camera, or go as fast as possible'
complete -c evotools -n "__evotools_at videogen" -l seed -r -f -d 'The same seed gives the same bytes'
complete -c evotools -n "__evotools_at videogen" -l start-time -r -f -d 'What the clock shows first'
complete -c evotools -n "__evotools_at videogen" -s s -l size -r -f -d 'Picture size'
complete -c evotools -n "__evotools_at videogen" -s r -l fps -r -f -d 'Pictures per second'
complete -c evotools -n "__evotools_at videogen" -s g -l gop -r -f -d 'Pictures from key frame to key frame'
complete -c evotools -n "__evotools_at videogen" -s c -l codec -r -f -a 'h264 hevc av1 vp9 vp8 none' -d 'Codec of the video tracks'
complete -c evotools -n "__evotools_at videogen" -l bitrate -r -f -d 'Constant bit rate of each video track'
complete -c evotools -n "__evotools_at videogen" -l profile -r -f -d 'Profile of the video codec'
complete -c evotools -n "__evotools_at videogen" -l level -r -f -d 'Level of the video codec'
complete -c evotools -n "__evotools_at videogen" -l preset -r -f -d 'Preset of the video encoder'
complete -c evotools -n "__evotools_at videogen" -l tune -r -f -d 'Tuning of the video encoder'
complete -c evotools -n "__evotools_at videogen" -l pix-fmt -r -f -d 'Pixel format'
complete -c evotools -n "__evotools_at videogen" -l multi -d 'One stream of 800x600 and 1920x1080 H.264, 1920x1080 HEVC, AAC and MP3'
complete -c evotools -n "__evotools_at videogen" -l single -d 'One stream of 800x600 and 1920x1080 H.264, 1920x1080 HEVC, AAC and MP3'
complete -c evotools -n "__evotools_at videogen" -l ladder -r -f -d 'Several video tracks, such as 1920x1080@4M,1280x720@2M:hevc'
complete -c evotools -n "__evotools_at videogen" -l video -d 'With video, or sound alone'
complete -c evotools -n "__evotools_at videogen" -l no-video -d 'With video, or sound alone'
complete -c evotools -n "__evotools_at videogen" -l video-option -r -f -d 'Option of the video encoders'
complete -c evotools -n "__evotools_at videogen" -l audio -r -f -d 'Audio tracks'
complete -c evotools -n "__evotools_at videogen" -l sound -d 'With sound, or video alone'
complete -c evotools -n "__evotools_at videogen" -l no-audio -d 'With sound, or video alone'
complete -c evotools -n "__evotools_at videogen" -l audio-bitrate -r -f -d 'Bit rate of each audio track'
complete -c evotools -n "__evotools_at videogen" -l audio-rate -r -f -d 'Sample rate of each audio track'
complete -c evotools -n "__evotools_at videogen" -l channels -r -f -a '1 2' -d 'Channels of each audio track'
complete -c evotools -n "__evotools_at videogen" -l tone -r -f -d 'A steady tone instead of the melody'
complete -c evotools -n "__evotools_at videogen" -l language -r -f -d 'Language of the sound (ISO 639-2: eng)'
complete -c evotools -n "__evotools_at videogen" -l audio-option -r -f -d 'Option of the audio encoders'
complete -c evotools -n "__evotools_at videogen" -l option -r -f -d 'Option of every encoder that knows it'
complete -c evotools -n "__evotools_at videogen" -l pattern -r -f -a 'testsrc testsrc2 smptebars smptehdbars rgbtestsrc mandelbrot color' -d 'What the picture shows'
complete -c evotools -n "__evotools_at videogen" -l clock -d 'Draw wall clock and running time'
complete -c evotools -n "__evotools_at videogen" -l no-clock -d 'Draw wall clock and running time'
complete -c evotools -n "__evotools_at videogen" -l blocks -d 'Draw the time in a form that programs read'
complete -c evotools -n "__evotools_at videogen" -l no-blocks -d 'Draw the time in a form that programs read'
complete -c evotools -n "__evotools_at videogen" -s q -l quiet -d 'Errors only'
complete -c evotools -n "__evotools_at videogen" -s v -l verbose -d 'Connections and tracks too'
complete -c evotools -n "__evotools_at videogen" -o vv -d 'Protocol messages too, and the trace of an error'
complete -c evotools -n "__evotools_at videogen" -l log-format -r -f -a 'text json' -d 'Form of the messages on standard error'
complete -c evotools -n "__evotools_at videogen" -l events -r -F -a '(__evotools_mixed_1)' -d 'Write events, one JSON object a line, to a file, a descriptor or standard error'
complete -c evotools -n "__evotools_at videogen" -l color -r -f -a 'auto always never' -d 'Colours'
complete -c evotools -n "__evotools_at videogen" -l config -r -F -d 'Defaults of options from this file, over those of the user and the system'
complete -c evotools -n "__evotools_at videogen" -l no-config -d 'Read no configuration file'
complete -c evotools -n "__evotools_at videogen" -l print-config -d 'Print the TOML that makes serve do this job, and exit'
complete -c evotools -n "__evotools_at videogen" -l dry-run -d 'Say what would happen, and exit'
complete -c evotools -n "__evotools_at videogen" -s h -d 'Help on one screen'
complete -c evotools -n "__evotools_at videogen" -l help -d 'All of the help'

# calc-hardware
complete -c evotools -n "__evotools_at calc-hardware" -l viewers -r -f -d 'Viewers at the same time'
complete -c evotools -n "__evotools_at calc-hardware" -l publishers -r -f -d 'Incoming streams of --bitrate, --ladder or --from'
complete -c evotools -n "__evotools_at calc-hardware" -l bitrate -r -f -d 'Bit rate of each stream: 800k, 3M, picture and sound together'
complete -c evotools -n "__evotools_at calc-hardware" -l ladder -r -f -d 'Renditions of each stream instead'
complete -c evotools -n "__evotools_at calc-hardware" -l stream -r -f -d 'One stream with its own viewers and time of recording, such as 2Mx150@20m'
complete -c evotools -n "__evotools_at calc-hardware" -l from -r -F -a '(__evotools_mixed_2)' -d 'Streams as probe --json reports them, one or many'
complete -c evotools -n "__evotools_at calc-hardware" -l deliver -r -f -d 'How viewers get it: rtmp, flv, ts, ws, hls, hls-fmp4, ll-hls, dash, mss, hds, rtsp, srt, webrtc'
complete -c evotools -n "__evotools_at calc-hardware" -l record -r -f -d 'Record every stream for this long'
complete -c evotools -n "__evotools_at calc-hardware" -l dvr -r -f -d 'Window that viewers can go back in'
complete -c evotools -n "__evotools_at calc-hardware" -l package -r -f -d 'Segments that are also written to disk: hls, dash, …'
complete -c evotools -n "__evotools_at calc-hardware" -l cpu-mark -r -f -d 'CPU mark of the machine (cpubenchmark.net)'
complete -c evotools -n "__evotools_at calc-hardware" -l cores -r -f -d 'Cores, instead of a CPU mark'
complete -c evotools -n "__evotools_at calc-hardware" -l ram -r -f -d 'Memory: 32GiB, 64GB'
complete -c evotools -n "__evotools_at calc-hardware" -l link -r -f -d 'Network link: 1G, 10G'
complete -c evotools -n "__evotools_at calc-hardware" -l disk -r -f -d 'Disk for recordings: 4TB'
complete -c evotools -n "__evotools_at calc-hardware" -l profile -r -F -a '(__evotools_mixed_3)' -d 'Where the constants come from: a built-in set or a TOML file'
complete -c evotools -n "__evotools_at calc-hardware" -l margin -r -f -d 'Margin on everything'
complete -c evotools -n "__evotools_at calc-hardware" -l cpu-per-connection -r -f -d 'CPU mark for each viewer and publisher'
complete -c evotools -n "__evotools_at calc-hardware" -l cpu-per-publisher -r -f -d 'Microseconds of CPU for each publisher and second'
complete -c evotools -n "__evotools_at calc-hardware" -l cpu-mark-per-core -r -f -d 'CPU mark of one core'
complete -c evotools -n "__evotools_at calc-hardware" -l ram-per-connection -r -f -d 'Memory for each viewer and publisher'
complete -c evotools -n "__evotools_at calc-hardware" -l ram-windows -r -f -d 'Copies of the DVR window of each stream in memory'
complete -c evotools -n "__evotools_at calc-hardware" -l full-duplex -d 'The link carries its rate in each direction, or both share it'
complete -c evotools -n "__evotools_at calc-hardware" -l half-duplex -d 'The link carries its rate in each direction, or both share it'
complete -c evotools -n "__evotools_at calc-hardware" -l set -r -f -d 'Any constant, such as hls.cpu_us_per_viewer=40'
complete -c evotools -n "__evotools_at calc-hardware" -l binary -d 'k, M and G are steps of 1024 everywhere, as MistServer\'s calculators count'
complete -c evotools -n "__evotools_at calc-hardware" -l scale -r -f -a 'auto linear log' -d 'Spacing of a range: by factors where it spans more than 20'
complete -c evotools -n "__evotools_at calc-hardware" -l plot -d 'Draw a range below its table'
complete -c evotools -n "__evotools_at calc-hardware" -l no-plot -d 'Draw a range below its table'
complete -c evotools -n "__evotools_at calc-hardware" -l svg -r -F -d 'Write the picture of a range'
complete -c evotools -n "__evotools_at calc-hardware" -l json -d 'The report as JSON'
complete -c evotools -n "__evotools_at calc-hardware" -l print-profile -d 'Print the constants as TOML, to change and give to --profile'
complete -c evotools -n "__evotools_at calc-hardware" -s q -l quiet -d 'Errors only'
complete -c evotools -n "__evotools_at calc-hardware" -s v -l verbose -d 'Connections and tracks too'
complete -c evotools -n "__evotools_at calc-hardware" -o vv -d 'Protocol messages too, and the trace of an error'
complete -c evotools -n "__evotools_at calc-hardware" -l log-format -r -f -a 'text json' -d 'Form of the messages on standard error'
complete -c evotools -n "__evotools_at calc-hardware" -l events -r -F -a '(__evotools_mixed_1)' -d 'Write events, one JSON object a line, to a file, a descriptor or standard error'
complete -c evotools -n "__evotools_at calc-hardware" -l color -r -f -a 'auto always never' -d 'Colours'
complete -c evotools -n "__evotools_at calc-hardware" -l config -r -F -d 'Defaults of options from this file, over those of the user and the system'
complete -c evotools -n "__evotools_at calc-hardware" -l no-config -d 'Read no configuration file'
complete -c evotools -n "__evotools_at calc-hardware" -l print-config -d 'Print the TOML that makes serve do this job, and exit'
complete -c evotools -n "__evotools_at calc-hardware" -l dry-run -d 'Say what would happen, and exit'
complete -c evotools -n "__evotools_at calc-hardware" -s h -d 'Help on one screen'
complete -c evotools -n "__evotools_at calc-hardware" -l help -d 'All of the help'

# serve
complete -c evotools -n "__evotools_at serve" -l set -r -f -a '(__evotools_key)' -d 'Set one key of the configuration, such as hub.grace=30s'
complete -c evotools -n "__evotools_at serve" -l stream -r -f -d 'A stream with a source of its own, always on'
complete -c evotools -n "__evotools_at serve" -l allow-publish -r -f -d 'Addresses that may publish besides this machine, such as 10.0.0.0/8'
complete -c evotools -n "__evotools_at serve" -l flush-interval -r -f -a 'auto' -d 'How long media may wait to be sent in one write'
complete -c evotools -n "__evotools_at serve" -l check -d 'Check the configuration, bind nothing, and exit'
complete -c evotools -n "__evotools_at serve" -s q -l quiet -d 'Errors only'
complete -c evotools -n "__evotools_at serve" -s v -l verbose -d 'Connections and tracks too'
complete -c evotools -n "__evotools_at serve" -o vv -d 'Protocol messages too, and the trace of an error'
complete -c evotools -n "__evotools_at serve" -l log-format -r -f -a 'text json' -d 'Form of the messages on standard error'
complete -c evotools -n "__evotools_at serve" -l events -r -F -a '(__evotools_mixed_1)' -d 'Write events, one JSON object a line, to a file, a descriptor or standard error'
complete -c evotools -n "__evotools_at serve" -l color -r -f -a 'auto always never' -d 'Colours'
complete -c evotools -n "__evotools_at serve" -s c -l config -r -F -d 'Configuration file (TOML)'
complete -c evotools -n "__evotools_at serve" -l no-config -d 'Read no configuration file'
complete -c evotools -n "__evotools_at serve" -l print-config -d 'Print the TOML that makes serve do this job, and exit'
complete -c evotools -n "__evotools_at serve" -l dry-run -d 'Say what would happen, and exit'
complete -c evotools -n "__evotools_at serve" -s h -d 'Help on one screen'
complete -c evotools -n "__evotools_at serve" -l help -d 'All of the help'

# formats
complete -c evotools -n "__evotools_at formats" -l json -d 'As one JSON object'
complete -c evotools -n "__evotools_at formats" -s q -l quiet -d 'Errors only'
complete -c evotools -n "__evotools_at formats" -s v -l verbose -d 'Connections and tracks too'
complete -c evotools -n "__evotools_at formats" -o vv -d 'Protocol messages too, and the trace of an error'
complete -c evotools -n "__evotools_at formats" -l log-format -r -f -a 'text json' -d 'Form of the messages on standard error'
complete -c evotools -n "__evotools_at formats" -l events -r -F -a '(__evotools_mixed_1)' -d 'Write events, one JSON object a line, to a file, a descriptor or standard error'
complete -c evotools -n "__evotools_at formats" -l color -r -f -a 'auto always never' -d 'Colours'
complete -c evotools -n "__evotools_at formats" -l config -r -F -d 'Defaults of options from this file, over those of the user and the system'
complete -c evotools -n "__evotools_at formats" -l no-config -d 'Read no configuration file'
complete -c evotools -n "__evotools_at formats" -l print-config -d 'Print the TOML that makes serve do this job, and exit'
complete -c evotools -n "__evotools_at formats" -l dry-run -d 'Say what would happen, and exit'
complete -c evotools -n "__evotools_at formats" -s h -d 'Help on one screen'
complete -c evotools -n "__evotools_at formats" -l help -d 'All of the help'

# completion
complete -c evotools -n '__evotools_at completion 1' -f -a 'bash zsh fish'
complete -c evotools -n "__evotools_at completion" -s q -l quiet -d 'Errors only'
complete -c evotools -n "__evotools_at completion" -s v -l verbose -d 'Connections and tracks too'
complete -c evotools -n "__evotools_at completion" -o vv -d 'Protocol messages too, and the trace of an error'
complete -c evotools -n "__evotools_at completion" -l log-format -r -f -a 'text json' -d 'Form of the messages on standard error'
complete -c evotools -n "__evotools_at completion" -l events -r -F -a '(__evotools_mixed_1)' -d 'Write events, one JSON object a line, to a file, a descriptor or standard error'
complete -c evotools -n "__evotools_at completion" -l color -r -f -a 'auto always never' -d 'Colours'
complete -c evotools -n "__evotools_at completion" -l config -r -F -d 'Defaults of options from this file, over those of the user and the system'
complete -c evotools -n "__evotools_at completion" -l no-config -d 'Read no configuration file'
complete -c evotools -n "__evotools_at completion" -l print-config -d 'Print the TOML that makes serve do this job, and exit'
complete -c evotools -n "__evotools_at completion" -l dry-run -d 'Say what would happen, and exit'
complete -c evotools -n "__evotools_at completion" -s h -d 'Help on one screen'
complete -c evotools -n "__evotools_at completion" -l help -d 'All of the help'

# help
complete -c evotools -n '__evotools_at help 1' -f -a 'ingest relay segment package probe videogen calc-hardware serve formats completion help version uri:- uri:exec uri:fd uri:file uri:ftp uri:http uri:https uri:hub uri:null uri:package uri:rtmp uri:rtmps uri:rtmpt uri:rtp uri:rtsp uri:rtsps uri:segment uri:srtp uri:tcp uri:test uri:ts-exec uri:udp uris exit-codes'
complete -c evotools -n "__evotools_at help" -s a -l all -d 'All commands with their synopses'
complete -c evotools -n "__evotools_at help" -l json -d 'As JSON, with all details'
complete -c evotools -n "__evotools_at help" -s q -l quiet -d 'Errors only'
complete -c evotools -n "__evotools_at help" -s v -l verbose -d 'Connections and tracks too'
complete -c evotools -n "__evotools_at help" -o vv -d 'Protocol messages too, and the trace of an error'
complete -c evotools -n "__evotools_at help" -l log-format -r -f -a 'text json' -d 'Form of the messages on standard error'
complete -c evotools -n "__evotools_at help" -l events -r -F -a '(__evotools_mixed_1)' -d 'Write events, one JSON object a line, to a file, a descriptor or standard error'
complete -c evotools -n "__evotools_at help" -l color -r -f -a 'auto always never' -d 'Colours'
complete -c evotools -n "__evotools_at help" -l config -r -F -d 'Defaults of options from this file, over those of the user and the system'
complete -c evotools -n "__evotools_at help" -l no-config -d 'Read no configuration file'
complete -c evotools -n "__evotools_at help" -l print-config -d 'Print the TOML that makes serve do this job, and exit'
complete -c evotools -n "__evotools_at help" -l dry-run -d 'Say what would happen, and exit'
complete -c evotools -n "__evotools_at help" -s h -d 'Help on one screen'
complete -c evotools -n "__evotools_at help" -l help -d 'All of the help'

# version
complete -c evotools -n "__evotools_at version" -l json -d 'As one JSON object'
complete -c evotools -n "__evotools_at version" -s q -l quiet -d 'Errors only'
complete -c evotools -n "__evotools_at version" -s v -l verbose -d 'Connections and tracks too'
complete -c evotools -n "__evotools_at version" -o vv -d 'Protocol messages too, and the trace of an error'
complete -c evotools -n "__evotools_at version" -l log-format -r -f -a 'text json' -d 'Form of the messages on standard error'
complete -c evotools -n "__evotools_at version" -l events -r -F -a '(__evotools_mixed_1)' -d 'Write events, one JSON object a line, to a file, a descriptor or standard error'
complete -c evotools -n "__evotools_at version" -l color -r -f -a 'auto always never' -d 'Colours'
complete -c evotools -n "__evotools_at version" -l config -r -F -d 'Defaults of options from this file, over those of the user and the system'
complete -c evotools -n "__evotools_at version" -l no-config -d 'Read no configuration file'
complete -c evotools -n "__evotools_at version" -l print-config -d 'Print the TOML that makes serve do this job, and exit'
complete -c evotools -n "__evotools_at version" -l dry-run -d 'Say what would happen, and exit'
complete -c evotools -n "__evotools_at version" -s h -d 'Help on one screen'
complete -c evotools -n "__evotools_at version" -l help -d 'All of the help'
