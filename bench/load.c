/* Many viewers on one thread: HTTP-FLV (or any HTTP body) and RTMP play.
 *
 * usage: load flv|rtmp PORT PATH VIEWERS CONNECTS_PER_S
 *   flv: PATH is the request target; rtmp: PATH is app/stream.
 * Talks to its starter in lines. It prints "ramped N" when every viewer gets media (or has failed), answers "begin"
 * and "end" on stdin by measuring between the two, prints one JSON line, and ends.
 *
 * Media is discarded in the kernel (MSG_TRUNC) once every 20 ms, so that the generator costs little, wakes the server
 * for nobody, and costs every server the same.
 */
#include "common.h"

#define DRAIN_MS 20
#define RAMP_LIMIT_S 60

enum { CONNECTING, ASKED, HELLO, CONNECT, CREATE, MEDIA, DEAD };

typedef struct {
    int fd, state;
    uint64_t bytes, mark;
    double begun, last, first, worst_gap;
    size_t held;
    char *buf;
} Viewer;

static const char *kind, *path;
static char app[256], stream[256];
static Viewer *viewers;
static int total, ep;
static int media_count, dead_count;
#define BUF 16384

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

static void kill_viewer(Viewer *v) {
    if (v->state == DEAD) return;
    if (v->state == MEDIA) media_count--;
    close(v->fd);
    v->state = DEAD;
    dead_count++;
}

static void put(Viewer *v, const void *data, size_t n) {
    if (send(v->fd, data, n, MSG_NOSIGNAL) != (ssize_t)n) kill_viewer(v);
}

static void to_media(Viewer *v) {
    v->state = MEDIA;
    media_count++;
    v->bytes = 0;
    free(v->buf);
    v->buf = NULL;
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
    if (!strcmp(kind, "flv")) {
        char req[512];
        int n = snprintf(req, sizeof req, "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n\r\n", path);
        v->state = ASKED;
        put(v, req, n);
    } else {
        uint8_t hello[1537] = {3};
        for (int i = 9; i < 1537; i++) hello[i] = i * 7;
        v->state = HELLO;
        put(v, hello, sizeof hello);
    }
}

static void talk(Viewer *v) {
    ssize_t got = recv(v->fd, v->buf + v->held, BUF - v->held, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        kill_viewer(v);
        return;
    }
    if (got < 0) return;
    v->held += got;
    uint8_t body[1024], out[3072];
    size_t n;
    if (v->state == ASKED) {
        if (!memmem(v->buf, v->held, "\r\n\r\n", 4)) return;
        if (v->held < 12 || memcmp(v->buf + 8, " 200", 4))
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
    v->last = now;
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
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    v->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    v->begun = now_s();
    if (v->fd < 0) die("socket");
    set_nodelay(v->fd);
    if (connect(v->fd, (void *)&a, sizeof a) < 0 && errno != EINPROGRESS) {
        v->state = MEDIA;
        media_count++;
        kill_viewer(v);
        return;
    }
    watch(ep, v->fd, EPOLLIN | EPOLLOUT, v);
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    kind = argv[1];
    int port = atoi(argv[2]);
    path = argv[3];
    total = atoi(argv[4]);
    double per_s = atof(argv[5]);
    const char *slash = strrchr(path, '/');
    if (slash && strcmp(kind, "rtmp") == 0) {
        snprintf(app, sizeof app, "%.*s", (int)(slash - path), path);
        snprintf(stream, sizeof stream, "%s", slash + 1);
    }
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
                if (v->state == DEAD) continue;
                if (v->state == CONNECTING) {
                    if (!(ev[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) continue;
                    struct epoll_event e = {.events = EPOLLIN, .data.ptr = v};
                    epoll_ctl(ep, EPOLL_CTL_MOD, v->fd, &e);
                    opened(v);
                } else if (v->state == MEDIA)
                    drain(v, now);
                else
                    talk(v);
            }
        } while (n == 1024);
        if (!ramped && made == total) {
            int served = dead_count;
            for (int i = 0; i < total; i++) served += viewers[i].state == MEDIA && viewers[i].first;
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
            for (int i = 0; i < total; i++) viewers[i].mark = viewers[i].bytes, viewers[i].worst_gap = 0;
        } else if (got > 0 && line[0] == 'e') {
            double span = now_s() - began, used = cpu_s() - cpu;
            double *rate = calloc(total, sizeof *rate), *first = calloc(total, sizeof *first);
            double gap = 0;
            int live = 0;
            for (int i = 0; i < total; i++) {
                Viewer *v = &viewers[i];
                if (v->state != MEDIA) continue;
                rate[live] = (v->bytes - v->mark) / span;
                first[live++] = v->first - v->begun;
                if (v->worst_gap > gap) gap = v->worst_gap;
            }
            qsort(rate, live, sizeof *rate, by_value);
            qsort(first, live, sizeof *first, by_value);
            printf("{\"live\":%d,\"dead\":%d,\"span_s\":%.3f,\"cpu_s\":%.4f,\"rate_min\":%.0f,\"rate_median\":%.0f,"
                   "\"rate_max\":%.0f,\"worst_gap_s\":%.3f,\"first_byte_median_s\":%.4f}\n",
                   live, dead_count, span, used, live ? rate[0] : 0, live ? rate[live / 2] : 0,
                   live ? rate[live - 1] : 0, gap, live ? first[live / 2] : 0);
            return 0;
        }
        next += DRAIN_MS / 1000.0;
        now = now_s();
        if (next < now) next = now;
        struct timespec nap = {0, (long)((next - now) * 1e9)};
        nanosleep(&nap, NULL);
    }
}
