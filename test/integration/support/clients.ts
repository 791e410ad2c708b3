/** Sources and configurations of the programs that programs.test.ts runs. */

/** urllib once, asyncio twenty at once, ten threads with a time-out each; the server is the first argument. */
export const PYTHON_CLIENT = `
import asyncio, sys, threading, urllib.request
server = sys.argv[1]
pages = []

pages.append(urllib.request.urlopen(f'http://{server}/', timeout=60).read())

async def fetch():
    reader, writer = await asyncio.open_connection(server, 80)
    writer.write(b'GET / HTTP/1.0\\r\\n\\r\\n')
    pages.append((await reader.read()).split(b'\\r\\n\\r\\n')[1])
    writer.close()

async def main():
    await asyncio.gather(*(fetch() for _ in range(20)))
asyncio.run(main())

def one():
    pages.append(urllib.request.urlopen(f'http://{server}/', timeout=60).read())
threads = [threading.Thread(target=one) for _ in range(10)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert set(pages) == {b'hello from remote\\n'}, set(pages)
print(len(pages), 'pages')
`;

export const NODE_CLIENT = `
const page = async () => {
  const response = await fetch('http://' + process.argv[2] + '/');
  return response.text();
};
const pages = await Promise.all(Array.from({ length: 20 }, page));
if (pages.some((text) => text !== 'hello from remote\\n')) throw new Error(pages.join());
console.log(pages.length + ' pages');
`;

/** Busy goroutines beside it, so that the runtime preempts with signals while connects wait. */
export const GO_CLIENT = `
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
)

func main() {
	for i := 0; i < 4; i++ {
		go func() {
			for n := 0; ; n++ {
			}
		}()
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var group sync.WaitGroup
	for i := 0; i < 50; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			response, err := client.Get("http://" + os.Args[1] + "/")
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			text, err := io.ReadAll(response.Body)
			if err != nil || string(text) != "hello from remote\\n" {
				fmt.Fprintln(os.Stderr, string(text), err)
				os.Exit(1)
			}
		}()
	}
	group.Wait()
	fmt.Println("50 pages")
}
`;

/** A connection of its own to the upstream for each request: HTTP/1.0, nginx's default. */
export const NGINX = `
daemon off;
pid /tmp/nginx.pid;
error_log /tmp/nginx.log;
worker_processes 2;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path /tmp/nginx-body;
  proxy_temp_path /tmp/nginx-proxy;
  fastcgi_temp_path /tmp/nginx-fastcgi;
  uwsgi_temp_path /tmp/nginx-uwsgi;
  scgi_temp_path /tmp/nginx-scgi;
  server {
    listen 8080;
    location / { proxy_pass http://10.77.0.100:80; proxy_connect_timeout 30s; }
  }
}
`;

export const HAPROXY = `
global
  maxconn 256
defaults
  mode http
  timeout connect 30s
  timeout client 60s
  timeout server 60s
  option httpclose
frontend in
  bind 127.0.0.1:8081
  default_backend out
backend out
  server remote 10.77.0.100:80
`;
