//! An http-wasm handler: it answers with the request's target, or with its body for POST.

const REQUEST: u32 = 0;
const RESPONSE: u32 = 1;

#[link(wasm_import_module = "http_handler")]
extern "C" {
    fn get_method(buf: *mut u8, limit: u32) -> u32;
    fn get_uri(buf: *mut u8, limit: u32) -> u32;
    fn set_header_value(kind: u32, name: *const u8, name_len: u32, value: *const u8, value_len: u32);
    fn read_body(kind: u32, buf: *mut u8, limit: u32) -> u64;
    fn write_body(kind: u32, body: *const u8, len: u32);
}

/// Calls get, which writes a string if it fits, with room for it.
fn string(get: unsafe extern "C" fn(*mut u8, u32) -> u32) -> Vec<u8> {
    let mut buf = vec![0; 256];
    loop {
        // SAFETY: the host writes at most the length it is given.
        let n = unsafe { get(buf.as_mut_ptr(), buf.len() as u32) } as usize;
        if n <= buf.len() {
            buf.truncate(n);
            return buf;
        }
        buf.resize(n, 0);
    }
}

fn set_header(name: &str, value: &str) {
    // SAFETY: the host reads what it is given.
    unsafe { set_header_value(RESPONSE, name.as_ptr(), name.len() as u32, value.as_ptr(), value.len() as u32) }
}

fn write(body: &[u8]) {
    // SAFETY: as above.
    unsafe { write_body(RESPONSE, body.as_ptr(), body.len() as u32) }
}

/// Copies the body of the request, piece by piece.
fn echo() {
    let mut buf = vec![0; 64 << 10];
    loop {
        // SAFETY: the host writes at most the length it is given. The upper half of what it returns is 1 at the end.
        let got = unsafe { read_body(REQUEST, buf.as_mut_ptr(), buf.len() as u32) };
        write(&buf[..got as u32 as usize]);
        if got >> 32 != 0 {
            return;
        }
    }
}

#[no_mangle]
pub extern "C" fn handle_request() -> u64 {
    set_header("Content-Type", "text/plain");
    if string(get_method) == b"POST" {
        echo();
    } else {
        write(b"Hello from Rust, ");
        write(&string(get_uri));
    }
    0 // answered: nothing is passed on
}

#[no_mangle]
pub extern "C" fn handle_response(_ctx: u32, _failed: u32) {}
