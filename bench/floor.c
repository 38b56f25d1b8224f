/* The least a single-threaded server can do: the same bytes of a looped FLV file to every connection, paced by the
 * tags' timestamps, one send per connection and tick. No ingest, no queues, no policy, no start at a key frame.
 *
 * usage: floor FILE.flv INTERVAL_MS        (0: one send per tag)
 * Prints "port N" and serves any request until SIGTERM.
 */
#include "common.h"

typedef struct {
    int fd;
    int ready;
    uint64_t pos; /* bytes of the endless loop sent so far */
} Conn;

static const uint8_t *file;
static size_t file_size;
static uint32_t *tag_end, *tag_ms; /* offset behind each tag, and its time */
static size_t tags;
static const size_t head_size = 13;

static void load(const char *path) {
    int fd = open(path, O_RDONLY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) die(path);
    file_size = st.st_size;
    file = mmap(NULL, file_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (file == MAP_FAILED) die("mmap");
    size_t cap = file_size / 16 + 1;
    tag_end = malloc(cap * sizeof *tag_end);
    tag_ms = malloc(cap * sizeof *tag_ms);
    for (size_t at = head_size; at + 15 <= file_size;) {
        const uint8_t *t = file + at;
        at += 15 + (t[1] << 16 | t[2] << 8 | t[3]);
        if (at > file_size) break;
        tag_end[tags] = at;
        tag_ms[tags++] = t[4] << 16 | t[5] << 8 | t[6] | (uint32_t)t[7] << 24;
    }
    if (!tags) exit(1);
}

/* Sends what lies between the connection's place and `head` of the endless loop of `span` bytes. */
static int push(Conn *c, uint64_t head, size_t span) {
    while (c->pos < head) {
        size_t from = c->pos % span, n = head - c->pos;
        if (n > span - from) n = span - from;
        ssize_t sent = send(c->fd, file + head_size + from, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) return errno == EAGAIN ? 0 : -1;
        c->pos += sent;
        if ((size_t)sent < n) return 0;
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    load(argv[1]);
    int interval = atoi(argv[2]);
    raise_file_limit();
    size_t span = tag_end[tags - 1] - head_size;
    uint32_t loop_ms = tag_ms[tags - 1] + 40;

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&a, sizeof a) < 0 || listen(listener, 1024) < 0) die("listen");
    getsockname(listener, (void *)&a, &len);
    printf("port %d\n", ntohs(a.sin_port));
    fflush(stdout);

    int ep = epoll_create1(0);
    watch(ep, listener, EPOLLIN, NULL);
    Conn **conns = calloc(65536, sizeof *conns);
    size_t count = 0, tag = 0;
    uint64_t loops = 0, head = 0;
    double start = now_s(), next_tick = start;
    for (;;) {
        double due = interval ? next_tick : start + (loops * (double)loop_ms + tag_ms[tag]) / 1000;
        int wait = (int)((due - now_s()) * 1000 + 0.999);
        struct epoll_event ev[256];
        int n = epoll_wait(ep, ev, 256, wait < 0 ? 0 : wait);
        for (int i = 0; i < n; i++) {
            Conn *c = ev[i].data.ptr;
            if (!c) {
                int fd;
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    set_nodelay(fd);
                    c = calloc(1, sizeof *c);
                    c->fd = fd;
                    watch(ep, fd, EPOLLIN, c);
                }
                continue;
            }
            char buf[4096];
            ssize_t got = recv(c->fd, buf, sizeof buf, MSG_DONTWAIT);
            if (got > 0 && !c->ready && count < 65536) {
                static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\nConnection: close\r\n\r\n";
                send(c->fd, ok, sizeof ok - 1, MSG_NOSIGNAL);
                send(c->fd, file, head_size, MSG_NOSIGNAL);
                c->ready = 1;
                c->pos = head;
                conns[count++] = c;
            } else if (got == 0 || (got < 0 && errno != EAGAIN)) {
                for (size_t k = 0; k < count; k++)
                    if (conns[k] == c) conns[k] = conns[--count];
                close(c->fd);
                free(c);
            }
        }
        double now = now_s();
        if (now < due) continue;
        if (interval) {
            next_tick += interval / 1000.0;
            if (next_tick < now) next_tick = now;
        }
        do {
            while (start + (loops * (double)loop_ms + tag_ms[tag]) / 1000 <= now) {
                head = loops * (uint64_t)span + tag_end[tag] - head_size;
                if (++tag == tags) tag = 0, loops++;
                if (!interval) break;
            }
            for (size_t k = 0; k < count; k++)
                if (push(conns[k], head, span) < 0) {
                    Conn *c = conns[k];
                    conns[k--] = conns[--count];
                    close(c->fd);
                    free(c);
                }
        } while (!interval && start + (loops * (double)loop_ms + tag_ms[tag]) / 1000 <= now);
    }
}
