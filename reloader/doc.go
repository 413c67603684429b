// Package reloader watches files and says on a channel which of them have changed, once they have settled. It knows
// nothing of workers, guests and configuration: cmd/appserver gives it paths and decides what a change means.
//
// A change is new content, by its SHA-256, that has stood still for the debounce. So a file with an older time stamp,
// a rename over the old one, the delete-and-create and backup dances of editors, a linker that writes byte by byte and
// the swapped ..data link of a Kubernetes ConfigMap are each one change, and touch(1) is none. What is written beside
// the watched files is not looked at.
//
// Inotify watches the directories on the way to each file, from the root down and through symbolic links, because a
// watch on a file is lost with its first replacement, and a watch on its directory with the replacement of that. Events
// are filtered by name and only say that it is time to look; what changed is found by looking, so a lost or
// merged event does no harm. Where inotify is not to be had, or does not see everything (the limits of the system, a
// directory that may not be read, a network file system), the files are looked at in an interval too.
package reloader
