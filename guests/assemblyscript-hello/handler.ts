// An http-wasm handler in AssemblyScript: it answers with the request's target, or with its body for POST.

@external("http_handler", "get_method") declare function get_method(buf: usize, limit: u32): u32;
@external("http_handler", "get_uri") declare function get_uri(buf: usize, limit: u32): u32;
@external("http_handler", "set_header_value")
declare function set_header_value(kind: u32, name: usize, nameLength: u32, value: usize, valueLength: u32): void;
@external("http_handler", "read_body") declare function read_body(kind: u32, buf: usize, limit: u32): u64;
@external("http_handler", "write_body") declare function write_body(kind: u32, body: usize, length: u32): void;

const REQUEST: u32 = 0;
const RESPONSE: u32 = 1;

const buf = new ArrayBuffer(64 << 10);

function write(text: string): void {
  const bytes = String.UTF8.encode(text);
  write_body(RESPONSE, changetype<usize>(bytes), bytes.byteLength);
}

function setHeader(name: string, value: string): void {
  const n = String.UTF8.encode(name);
  const v = String.UTF8.encode(value);
  set_header_value(RESPONSE, changetype<usize>(n), n.byteLength, changetype<usize>(v), v.byteLength);
}

// echo copies the body of the request. The upper half of what read_body returns is 1 at the end.
function echo(): void {
  let got: u64;
  do {
    got = read_body(REQUEST, changetype<usize>(buf), buf.byteLength);
    write_body(RESPONSE, changetype<usize>(buf), <u32>got);
  } while (got >> 32 == 0);
}

export function handle_request(): u64 {
  setHeader("Content-Type", "text/plain");
  const method = String.UTF8.decodeUnsafe(changetype<usize>(buf), get_method(changetype<usize>(buf), buf.byteLength));
  if (method == "POST") {
    echo();
  } else {
    write("Hello from AssemblyScript, ");
    // A longer target is not written; the server takes none by default.
    write_body(RESPONSE, changetype<usize>(buf), min(get_uri(changetype<usize>(buf), buf.byteLength), <u32>buf.byteLength));
  }
  return 0; // answered: nothing is passed on
}

export function handle_response(ctx: u32, failed: u32): void {}
