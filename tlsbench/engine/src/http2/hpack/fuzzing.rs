//! Properties of Huffman's code (RFC 7541, appendix B).

use super::huffman::{decode, encode, encoded_len};

/// A text is read back as it was, and a code has one text and one spelling.
pub fn huffman(input: &[u8]) {
    let mut code = Vec::new();
    encode(input, &mut code);
    assert_eq!(code.len(), encoded_len(input));
    let mut text = Vec::new();
    assert!(decode(&code, |byte| text.push(byte)).is_ok(), "its own code is refused");
    assert_eq!(text, input);
    text.clear();
    if decode(input, |byte| text.push(byte)).is_ok() {
        code.clear();
        encode(&text, &mut code);
        assert_eq!(code, input, "two codes for one text");
    }
}
