package abi

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// eventGroup is the multicast group on which the kernel itself speaks.
const eventGroup = 1

// maxEvent is more than the kernel sends at once: UEVENT_BUFFER_SIZE, and a path.
const maxEvent = 8192

// Event is what happened to which object.
type Event struct {
	// Action is "add", "remove", "change" and others.
	Action string
	// Object is the path below /sys, as "/module/dm_mod".
	Object string
}

// LostEvent is the event that stands for those that found no room.
var LostEvent = Event{}

// EventWatch listens to what the kernel tells of its devices and modules until it is closed:
// the messages of NETLINK_KOBJECT_UEVENT, as lib/kobject_uevent.c sends them.
type EventWatch struct {
	log  *slog.Logger
	sock *os.File
	done chan struct{}
}

// WatchEvents has fn called with each event, in one goroutine. If it cannot listen any longer
// it logs why, and what that means: without.
func WatchEvents(log *slog.Logger, without string, fn func(Event)) (*EventWatch, error) {
	const flags = unix.SOCK_DGRAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	fd, err := unix.Socket(unix.AF_NETLINK, flags, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("listen to the kernel's events: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: eventGroup}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen to the kernel's events: %w", err)
	}
	w := &EventWatch{log: log, sock: os.NewFile(uintptr(fd), "uevents"), done: make(chan struct{})}
	go w.run(without, fn)
	return w, nil
}

func (w *EventWatch) run(without string, fn func(Event)) {
	defer close(w.done)
	buf := make([]byte, maxEvent)
	for {
		n, err := w.sock.Read(buf)
		switch {
		case errors.Is(err, unix.ENOBUFS):
			fn(LostEvent)
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil:
			w.log.Error("the kernel's events are no longer heard: "+without, "error", err)
			return
		default:
			if e, ok := parseEvent(buf[:n]); ok {
				fn(e)
			}
		}
	}
}

// parseEvent reads the head of a message: ACTION@OBJECT, up to a NUL.
func parseEvent(msg []byte) (Event, bool) {
	head, _, _ := strings.Cut(string(msg), "\x00")
	action, object, ok := strings.Cut(head, "@")
	return Event{action, object}, ok && action != "" && strings.HasPrefix(object, "/")
}

// Close ends the listening; fn is not called any more when it returns.
func (w *EventWatch) Close() error {
	err := w.sock.Close()
	<-w.done
	return err
}
