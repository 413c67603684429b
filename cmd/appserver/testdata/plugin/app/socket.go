package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
)

// webSocket switches to the WebSocket protocol (RFC 6455) and sends every message back.
func webSocket(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Connection") != "Upgrade" || r.Header.Get("Upgrade") != "websocket" {
		http.Error(w, "a WebSocket, please", http.StatusUpgradeRequired)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if _, err := w.Write([]byte("x")); err != http.ErrHijacked {
		fmt.Println("written after the switch:", err)
	}
	go func() { // net/http lets a connection outlive its handler
		defer conn.Close()
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
		for rw.Flush() == nil {
			opcode, message, err := readFrame(rw.Reader)
			if err != nil {
				return
			}
			rw.Write([]byte{0x80 | opcode, byte(len(message))})
			rw.Write(message)
		}
	}()
}

// readFrame reads a client's frame of less than 126 bytes.
func readFrame(r *bufio.Reader) (opcode byte, message []byte, err error) {
	var head [6]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	message = make([]byte, head[1]&0x7f)
	if _, err := io.ReadFull(r, message); err != nil {
		return 0, nil, err
	}
	mask := binary.BigEndian.Uint32(head[2:])
	for i := range message {
		message[i] ^= byte(mask >> (24 - i%4*8))
	}
	return head[0] & 0xf, message, nil
}

// hints sends early hints ahead of its response (RFC 8297).
func hints(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Link", "</style.css>; rel=preload")
	w.WriteHeader(http.StatusEarlyHints)
	w.Header().Set("X-Late", "1")
	fmt.Fprint(w, "hinted")
}
