//! A CGI guest: the request is in the environment and on standard input, the response goes to standard output.

use std::env;
use std::io::{self, Write};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    match env::var("PATH_INFO").as_deref() {
        Ok("/echo") => {
            write!(out, "Content-Type: application/octet-stream\n\n")?;
            io::copy(&mut io::stdin().lock(), &mut out)?;
        }
        Ok("/") => {
            write!(out, "Content-Type: text/plain\n\nHello from Rust!\n")?;
            for name in ["REQUEST_METHOD", "QUERY_STRING"] {
                writeln!(out, "{name}={}", env::var(name).unwrap_or_default())?;
            }
        }
        _ => write!(out, "Status: 404 Not Found\nContent-Type: text/plain\n\nnot found\n")?,
    }
    out.flush()
}
