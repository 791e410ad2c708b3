/** nginx as the workloads run it: one worker, in the foreground, without a log. */

export const NGINX = 'nginx -e /dev/stderr -c /tmp/nginx.conf';

/** A script that writes the configuration for it. `http`: lines of that block. */
export function configureNginx(http: string, connections = 4096): string {
  return `cat >/tmp/nginx.conf <<'END'
daemon off;
pid /tmp/nginx.pid;
worker_processes 1;
events { worker_connections ${connections}; }
http {
  access_log off;
${http}
}
END`;
}
