#!/bin/sh
# What "podman" and "buildah" are in the PATH of a command that "sockswitch with" has started: they become the real ones at
# once, except where a build may need an option, or a Podman service may be asked, which front.js looks at.
#
#   SOCKSWITCH_WITH_PODMAN, SOCKSWITCH_WITH_BUILDAH   the real programs
#   SOCKSWITCH_WITH_START                             starts front.js and becomes what that says (native/programs/start.cc)
#   SOCKSWITCH_WITH_NODE, SOCKSWITCH_WITH_FRONT       the way to front.js
name=${0##*/}
case $name in
  buildah) real=${SOCKSWITCH_WITH_BUILDAH-} ;;
  *) real=${SOCKSWITCH_WITH_PODMAN-} ;;
esac
if [ -z "$real" ]; then
  echo "sockswitch: $name was not in PATH when \"sockswitch with\" was started" >&2
  exit 127
fi
look=${CONTAINER_HOST-}${CONTAINER_CONNECTION-}
[ -z "${SOCKSWITCH_WITH_REMOTE-}" ] || look=1
seen=  # a word that is no option, nor perhaps an option's value
value= # the word may be the value of the option before
for word in "$@"; do
  case $seen$word in
    -r | -r=* | -c | -H) look=1 ;; # short for --remote, --connection, --host; a verb's short options are others
    compose) look=1 ;;
  esac
  case $word in
    build | bud | build-using-dockerfile | from | --build | --build=*) look=1 ;;
    --remote* | --url* | --connection* | --context* | --host*) look=1 ;;
  esac
  case $word in
    --*=*) value= ;;
    --* | -c | -H) value=1 ;;
    -*) value= ;;
    *) if [ -n "$value" ]; then value=; else seen=1; fi ;;
  esac
done
[ -z "$look" ] || [ ! -x "${SOCKSWITCH_WITH_START-}" ] || exec "$SOCKSWITCH_WITH_START" with-front "$name" "$@"
[ -z "$look" ] || exec "$SOCKSWITCH_WITH_NODE" "$SOCKSWITCH_WITH_FRONT" "$name" "$@"
exec "$real" "$@"
