/* Many viewers on one thread: any HTTP body, WebSocket, RTMP play; with TLS when compiled with -DTLS -lssl -lcrypto.
 *
 * usage: load http|ws|rtmp PORT PATH VIEWERS CONNECTS_PER_S [tls] [lazy=SHARE] [stall=SECONDS] [each]
 *   http, ws: PATH is the request target; rtmp: PATH is app/stream.
 *   lazy: this share of the viewers, spread evenly, asks for the stream and then never reads.
 *   stall: a gap longer than this between two reads counts as a stall (default 1).
 *   each: the result lists the bytes of every viewer that reads.
 * Talks to its starter in lines. It prints "ramped N" when every viewer gets media (or has failed), answers "begin"
 * and "end" on stdin by measuring between the two, prints one JSON line, and ends.
 *
 * Media is discarded in the kernel (MSG_TRUNC) once every 20 ms, so that the generator costs little, wakes the server
 * for nobody, and costs every server the same. Over TLS it stays what it is, encrypted: what counts is the server.
 */
#include "common.h"
#ifdef TLS
#include <openssl/ssl.h>
#endif

#define DRAIN_MS 20
#define RAMP_LIMIT_S 60
#define BUF 16384
#define PONG_S 15  /* RFC 6455 5.5.3: an unasked pong, since pings are thrown away with the media */
#define PER_ADDRESS 400 /* viewers per source address 127.0.x.y: servers cap the connections of one */

enum { CONNECTING, SECURING, ASKED, HELLO, CONNECT, CREATE, MEDIA, LAZY, DEAD };

typedef struct {
    int fd, state, lazy, stalls;
    uint64_t bytes, mark;
    double begun, last, first, worst_gap, said;
    size_t held;
    char *buf;
    void *tls;
} Viewer;

static const char *kind, *path;
static char app[256], stream[256];
static Viewer *viewers;
static int total, ep, secure, each;
static int dead_count;
static double lazy_share, stall_s = 1;
#ifdef TLS
static SSL_CTX *context;
#endif

static size_t amf_string(uint8_t *p, const char *s, int marker) {
    size_t n = strlen(s), i = 0;
    if (marker) p[i++] = 2;
    p[i++] = n >> 8;
    p[i++] = n;
    memcpy(p + i, s, n);
    return i + n;
}

static size_t amf_number(uint8_t *p, double v) {
    uint64_t bits;
    memcpy(&bits, &v, 8);
    p[0] = 0;
    for (int i = 0; i < 8; i++) p[1 + i] = bits >> (56 - 8 * i);
    return 9;
}

/* An RTMP message of type 20 (AMF0 command) in chunks of 128 bytes, the size before any Set Chunk Size. */
static size_t command(uint8_t *out, int csid, uint32_t stream_id, const uint8_t *body, size_t n) {
    uint8_t head[12] = {csid, 0, 0, 0, n >> 16, n >> 8, n, 20, stream_id, stream_id >> 8, stream_id >> 16, stream_id >> 24};
    memcpy(out, head, 12);
    size_t o = 12;
    for (size_t at = 0; at < n; at += 128) {
        size_t part = n - at < 128 ? n - at : 128;
        if (at) out[o++] = 0xC0 | csid;
        memcpy(out + o, body + at, part);
        o += part;
    }
    return o;
}

static void release(Viewer *v) {
    free(v->buf);
    v->buf = NULL;
#ifdef TLS
    if (v->tls) SSL_free(v->tls);
    v->tls = NULL;
#endif
}

static void kill_viewer(Viewer *v) {
    if (v->state == DEAD) return;
    close(v->fd);
    release(v);
    v->state = DEAD;
    dead_count++;
}

static void put(Viewer *v, const void *data, size_t n) {
#ifdef TLS
    if (v->tls) {
        if (SSL_write(v->tls, data, n) != (int)n) kill_viewer(v);
        return;
    }
#endif
    if (send(v->fd, data, n, MSG_NOSIGNAL) != (ssize_t)n) kill_viewer(v);
}

/* Bytes read, 0 when there are none yet; a viewer whose server has gone is dead afterwards. */
static ssize_t take(Viewer *v, void *data, size_t n) {
#ifdef TLS
    if (v->tls) {
        int got = SSL_read(v->tls, data, n);
        if (got > 0) return got;
        if (SSL_get_error(v->tls, got) != SSL_ERROR_WANT_READ) kill_viewer(v);
        return 0;
    }
#endif
    ssize_t got = recv(v->fd, data, n, MSG_DONTWAIT);
    if (got > 0) return got;
    if (got == 0 || errno != EAGAIN) kill_viewer(v);
    return 0;
}

static void to_media(Viewer *v) {
    v->state = v->lazy ? LAZY : MEDIA;
    v->bytes = 0;
    release(v);
    if (v->lazy) {
        struct epoll_event e = {.events = EPOLLRDHUP, .data.ptr = v};
        epoll_ctl(ep, EPOLL_CTL_MOD, v->fd, &e);
    }
}

static void ask(Viewer *v) {
    if (strcmp(kind, "rtmp")) {
        char req[768];
        int n = snprintf(req, sizeof req, "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n%s\r\n", path,
                         strcmp(kind, "ws") ? ""
                                            : "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                              "Sec-WebSocket-Version: 13\r\n");
        v->state = ASKED;
        put(v, req, n);
    } else {
        uint8_t hello[1537] = {3};
        for (int i = 9; i < 1537; i++) hello[i] = i * 7;
        v->state = HELLO;
        put(v, hello, sizeof hello);
    }
}

static void wait_for(Viewer *v, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = v};
    epoll_ctl(ep, EPOLL_CTL_MOD, v->fd, &e);
}

static void shake(Viewer *v) {
#ifdef TLS
    int done = SSL_connect(v->tls);
    if (done == 1) {
        wait_for(v, EPOLLIN);
        ask(v);
        return;
    }
    int why = SSL_get_error(v->tls, done);
    if (why == SSL_ERROR_WANT_READ)
        wait_for(v, EPOLLIN);
    else if (why == SSL_ERROR_WANT_WRITE)
        wait_for(v, EPOLLOUT);
    else
        kill_viewer(v);
#else
    kill_viewer(v);
#endif
}

static void opened(Viewer *v) {
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(v->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        kill_viewer(v);
        return;
    }
    v->buf = malloc(BUF);
#ifdef TLS
    if (secure) {
        v->tls = SSL_new(context);
        SSL_set_fd(v->tls, v->fd);
        SSL_set_tlsext_host_name((SSL *)v->tls, "localhost");
        v->state = SECURING;
        shake(v);
        return;
    }
#endif
    wait_for(v, EPOLLIN);
    ask(v);
}

static void talk(Viewer *v) {
    ssize_t got = take(v, v->buf + v->held, BUF - v->held);
    if (got <= 0) return;
    v->held += got;
    uint8_t body[1024], out[3072];
    size_t n;
    if (v->state == ASKED) {
        if (!memmem(v->buf, v->held, "\r\n\r\n", 4)) goto full;
        int web = !strcmp(kind, "ws");
        if (v->held < 12 || memcmp(v->buf + 8, web ? " 101" : " 200", 4) ||
            /* RFC 6455 1.3: the answer to the key above. */
            (web && !memmem(v->buf, v->held, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28)))
            kill_viewer(v);
        else
            to_media(v);
    } else if (v->state == HELLO) {
        if (v->held < 3073) return;
        uint8_t *o = malloc(1536 + 2048);
        memcpy(o, v->buf + 1, 1536); /* C2 echoes S1 */
        n = amf_string(body, "connect", 1);
        n += amf_number(body + n, 1);
        body[n++] = 3;
        char url[600];
        snprintf(url, sizeof url, "rtmp://127.0.0.1/%s", app);
        n += amf_string(body + n, "app", 0);
        n += amf_string(body + n, app, 1);
        n += amf_string(body + n, "tcUrl", 0);
        n += amf_string(body + n, url, 1);
        memcpy(body + n, "\0\0\t", 3);
        n = command(o + 1536, 3, 0, body, n + 3);
        v->held = 0;
        v->state = CONNECT;
        put(v, o, 1536 + n);
        free(o);
    } else if (v->state == CONNECT) {
        if (!memmem(v->buf, v->held, "_result", 7)) goto full;
        n = amf_string(body, "createStream", 1);
        n += amf_number(body + n, 2);
        body[n++] = 5;
        v->held = 0;
        v->state = CREATE;
        put(v, out, command(out, 3, 0, body, n));
    } else if (v->state == CREATE) {
        if (!memmem(v->buf, v->held, "_result", 7)) goto full;
        n = amf_string(body, "play", 1);
        n += amf_number(body + n, 3);
        body[n++] = 5;
        n += amf_string(body + n, stream, 1);
        put(v, out, command(out, 8, 1, body, n));
        if (v->state != DEAD) to_media(v);
    }
    return;
full:
    if (v->held == BUF) kill_viewer(v);
}

static void drain(Viewer *v, double now) {
    static char sink[1];
    ssize_t got = recv(v->fd, sink, 16 << 20, MSG_TRUNC | MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        kill_viewer(v);
        return;
    }
    if (got < 0) return;
    v->bytes += got;
    if (!v->first) v->first = now;
    if (v->last && now - v->last > v->worst_gap) v->worst_gap = now - v->last;
    if (v->last && now - v->last > stall_s) v->stalls++;
    v->last = now;
    if (!v->said) v->said = now;
    if (now - v->said > PONG_S && !secure && !strcmp(kind, "ws")) {
        put(v, "\x8a\x80\0\0\0\0", 6);
        v->said = now;
    }
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double cpu_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void connect_one(Viewer *v, int port) {
    int number = v - viewers, from = 1 + number / PER_ADDRESS, one = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7F000000 | from)};
    v->lazy = (int)((number + 1) * lazy_share) > (int)(number * lazy_share);
    v->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    v->begun = now_s();
    if (v->fd < 0) die("socket");
    set_nodelay(v->fd);
    setsockopt(v->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(v->fd, (void *)&own, sizeof own) < 0 || (connect(v->fd, (void *)&a, sizeof a) < 0 && errno != EINPROGRESS)) {
        kill_viewer(v);
        return;
    }
    watch(ep, v->fd, EPOLLOUT, v);
}

static void report(double span, double used) {
    double *rate = calloc(total, sizeof *rate), *first = calloc(total, sizeof *first);
    double gap = 0;
    int live = 0, stalls = 0, lazy = 0;
    for (int i = 0; i < total; i++) {
        Viewer *v = &viewers[i];
        lazy += v->state == LAZY;
        if (v->state != MEDIA) continue;
        double open = now_s() - v->last; /* a gap that has not ended yet */
        if (open > v->worst_gap) v->worst_gap = open;
        rate[live] = (v->bytes - v->mark) / span;
        first[live++] = v->first - v->begun;
        if (v->worst_gap > gap) gap = v->worst_gap;
        stalls += v->stalls + (open > stall_s);
    }
    qsort(rate, live, sizeof *rate, by_value);
    qsort(first, live, sizeof *first, by_value);
    printf("{\"live\":%d,\"dead\":%d,\"lazy\":%d,\"span_s\":%.3f,\"cpu_s\":%.4f,\"rate_min\":%.0f,\"rate_median\":%.0f,"
           "\"rate_max\":%.0f,\"worst_gap_s\":%.3f,\"stalls\":%d,\"first_byte_median_s\":%.4f",
           live, dead_count, lazy, span, used, live ? rate[0] : 0, live ? rate[live / 2] : 0,
           live ? rate[live - 1] : 0, gap, stalls, live ? first[live / 2] : 0);
    if (each) {
        printf(",\"bytes\":[");
        for (int i = 0, n = 0; i < total; i++)
            if (viewers[i].state == MEDIA) printf("%s%llu", n++ ? "," : "", (unsigned long long)viewers[i].bytes);
        printf("]");
    }
    printf("}\n");
}

int main(int argc, char **argv) {
    if (argc < 6) return 2;
    kind = argv[1];
    int port = atoi(argv[2]);
    path = argv[3];
    total = atoi(argv[4]);
    double per_s = atof(argv[5]);
    for (int i = 6; i < argc; i++) {
        if (!strcmp(argv[i], "tls"))
            secure = 1;
        else if (!strcmp(argv[i], "each"))
            each = 1;
        else if (!strncmp(argv[i], "lazy=", 5))
            lazy_share = atof(argv[i] + 5);
        else if (!strncmp(argv[i], "stall=", 6))
            stall_s = atof(argv[i] + 6);
        else
            return 2;
    }
    const char *slash = strrchr(path, '/');
    if (strcmp(kind, "rtmp") && strcmp(kind, "http") && strcmp(kind, "ws")) return 2;
    if (slash && strcmp(kind, "rtmp") == 0) {
        snprintf(app, sizeof app, "%.*s", (int)(slash - path), path);
        snprintf(stream, sizeof stream, "%s", slash + 1);
    }
#ifdef TLS
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
#else
    if (secure) {
        fprintf(stderr, "load: compiled without TLS\n");
        return 3;
    }
#endif
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    fcntl(0, F_SETFL, O_NONBLOCK);
    viewers = calloc(total, sizeof *viewers);
    ep = epoll_create1(0);

    double start = now_s(), began = 0, cpu = 0, next = start;
    int made = 0, ramped = 0;
    for (;;) {
        double now = now_s();
        while (made < total && now - start >= made / per_s) connect_one(&viewers[made++], port);
        struct epoll_event ev[1024];
        int n;
        do {
            n = epoll_wait(ep, ev, 1024, 0);
            now = now_s();
            for (int i = 0; i < n; i++) {
                Viewer *v = ev[i].data.ptr;
                if (v->state == MEDIA)
                    drain(v, now);
                else if (v->state == CONNECTING)
                    opened(v);
                else if (v->state == SECURING)
                    shake(v);
                else if (v->state == LAZY)
                    kill_viewer(v);
                else if (v->state != DEAD)
                    talk(v);
            }
        } while (n == 1024);
        if (!ramped && made == total) {
            int served = dead_count;
            for (int i = 0; i < total; i++)
                served += viewers[i].state == LAZY || (viewers[i].state == MEDIA && viewers[i].first);
            if (served == total || now - start > RAMP_LIMIT_S + total / per_s) {
                ramped = 1;
                printf("ramped %d\n", total - dead_count);
                fflush(stdout);
            }
        }
        char line[64];
        ssize_t got = read(0, line, sizeof line);
        if (got == 0) return 0;
        if (got > 0 && line[0] == 'b') {
            began = now_s();
            cpu = cpu_s();
            for (int i = 0; i < total; i++)
                viewers[i].mark = viewers[i].bytes, viewers[i].worst_gap = 0, viewers[i].stalls = 0;
        } else if (got > 0 && line[0] == 'e') {
            report(now_s() - began, cpu_s() - cpu);
            return 0;
        }
        next += DRAIN_MS / 1000.0;
        now = now_s();
        if (next < now) next = now;
        struct timespec nap = {0, (long)((next - now) * 1e9)};
        nanosleep(&nap, NULL);
    }
}
