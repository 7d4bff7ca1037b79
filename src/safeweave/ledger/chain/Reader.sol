// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// Canonical JSON (RFC 8785) read from call data from left to right, every byte of it: what is not there as expected
/// refuses the operation as malformed. So no two texts are the same operation.
library Reader {
    struct Text {
        uint256 place; // where reading goes on, in call data
        uint256 last; // behind the last byte
    }

    error No(uint8 code);

    uint256 private constant EACH = 0x0101010101010101010101010101010101010101010101010101010101010101;
    uint256 private constant LONGEST_TEXT = 512;

    function over(bytes calldata json) internal pure returns (Text memory text) {
        uint256 place;
        assembly {
            place := json.offset
        }
        text.place = place;
        text.last = place + json.length;
    }

    function _malformed() private pure {
        revert No(0);
    }

    /// Exactly these letters.
    function skip(Text memory text, string memory letters) internal pure {
        uint256 length = bytes(letters).length;
        uint256 place = text.place;
        if (place + length > text.last) _malformed();
        uint256 difference = 0;
        assembly ("memory-safe") {
            let from := add(letters, 32)
            let left := length
            for {} gt(left, 31) {} {
                difference := or(difference, xor(calldataload(place), mload(from)))
                place := add(place, 32)
                from := add(from, 32)
                left := sub(left, 32)
            }
            if left {
                difference := or(difference, shr(shl(3, sub(32, left)), xor(calldataload(place), mload(from))))
                place := add(place, left)
            }
        }
        if (difference != 0) _malformed();
        text.place = place;
    }

    /// Exactly these letters, and nothing after them.
    function end(Text memory text, string memory letters) internal pure {
        skip(text, letters);
        if (text.place != text.last) _malformed();
    }

    /// Whether another value of a list follows; goes behind the comma.
    function goesOn(Text memory text) internal pure returns (bool) {
        if (_byte(text.place, text.last) != ",") return false;
        ++text.place;
        return true;
    }

    /// An id: 64 lower-case hex digits.
    function id(Text memory text) internal pure returns (bytes32) {
        uint256 place = text.place;
        if (place + 64 > text.last) _malformed();
        uint256 high;
        uint256 low;
        assembly ("memory-safe") {
            high := calldataload(place)
            low := calldataload(add(place, 32))
        }
        text.place = place + 64;
        (bool isHigh, uint256 first) = _unhex(high);
        (bool isLow, uint256 second) = _unhex(low);
        if (!isHigh || !isLow) _malformed();
        return bytes32((first << 128) | second);
    }

    /// 32 hex digits as 16 bytes, all at once: each byte of the word becomes its value, then the values are packed.
    function _unhex(uint256 digits) private pure returns (bool isHex, uint256 packed) {
        unchecked {
            if (digits & (EACH * 0x80) != 0) return (false, 0);
            uint256 letters = (digits >> 6) & EACH; // a to f have bit 6, 0 to 9 have not
            uint256 values = (digits & (EACH * 0x0f)) + letters * 9;
            uint256 written = values + EACH * 0x30 + (((values + EACH * 6) >> 4) & EACH) * 0x27;
            if (values & (EACH * 0xf0) != 0 || written != digits) return (false, 0);
            isHex = true;
            packed = (values | (values >> 4)) & 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
            packed = (packed | (packed >> 8)) & 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
            packed = (packed | (packed >> 16)) & 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;
            packed = (packed | (packed >> 32)) & 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;
            packed = (packed | (packed >> 64)) & 0xffffffffffffffffffffffffffffffff;
        }
    }

    /// A list of ids up to its closing bracket, at least one and at most `most`; its opening quote was read already.
    function ids(Text memory text, uint256 most) internal pure returns (bytes32[] memory found) {
        found = new bytes32[](most);
        uint256 count = 0;
        do {
            if (count == most) _malformed();
            skip(text, '"');
            found[count++] = id(text);
            skip(text, '"');
        } while (goesOn(text));
        skip(text, "]");
        assembly ("memory-safe") {
            mstore(found, count)
        }
    }

    /// A list of exactly so many whole numbers up to its closing bracket.
    function numbers(Text memory text, uint256 count, uint256 least, uint256 most)
        internal
        pure
        returns (uint256[] memory found)
    {
        found = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            if (i > 0 && !goesOn(text)) _malformed();
            found[i] = number(text, least, most);
        }
        skip(text, "]");
    }

    /// A whole number between two bounds, without leading zeros.
    function number(Text memory text, uint256 least, uint256 most) internal pure returns (uint256 value) {
        unchecked {
            uint256 place = text.place;
            uint256 begun = place;
            bytes1 digit = _byte(place, text.last);
            while (digit >= "0" && digit <= "9") {
                if (value > most) _malformed();
                value = value * 10 + uint8(digit) - 48;
                digit = _byte(++place, text.last);
            }
            if (place == begun || (place - begun > 1 && _byte(begun, text.last) == "0")) _malformed();
            if (value < least || value > most) _malformed();
            text.place = place;
        }
    }

    /// The number behind `name` at the very end of the object, without going there.
    function lastNumber(Text memory text, string memory name, uint256 least, uint256 most)
        internal
        pure
        returns (uint256)
    {
        uint256 place = text.last - 1;
        while (place > text.place && _isDigit(_byte(place - 1, text.last))) --place;
        uint256 length = bytes(name).length;
        if (place < text.place + length) _malformed();
        Text memory there = Text(place - length, text.last);
        skip(there, name);
        return number(there, least, most);
    }

    /// The truth behind `name` at the very end of the object, without going there.
    function lastTruth(Text memory text, string memory name) internal pure returns (bool) {
        uint256 length = bytes(name).length;
        if (text.last < text.place + length + 6) _malformed();
        bool isTrue = _byte(text.last - 5, text.last) == "t";
        Text memory there = Text(text.last - length - (isTrue ? 5 : 6), text.last);
        skip(there, name);
        end(there, isTrue ? "true}" : "false}");
        return isTrue;
    }

    /// Whether `null` stands here; goes behind it.
    function isNull(Text memory text) internal pure returns (bool) {
        if (_byte(text.place, text.last) != "n") return false;
        skip(text, "null");
        return true;
    }

    /// A word of at most 32 lower-case letters and underscores, with its closing quote.
    function word(Text memory text) internal pure returns (bytes32 found) {
        uint256 place = text.place;
        uint256 length = 0;
        bytes1 letter = _byte(place, text.last);
        while ((letter >= "a" && letter <= "z") || letter == "_") {
            if (length == 32) _malformed();
            found |= bytes32(letter) >> (8 * length++);
            letter = _byte(place + length, text.last);
        }
        text.place = place + length;
        skip(text, '"');
    }

    /// The name of a suite, with its closing quote.
    function suite(Text memory text) internal pure {
        uint256 begun = text.place;
        bytes1 letter = _byte(begun, text.last);
        while ((letter >= "a" && letter <= "z") || _isDigit(letter) || letter == "-") {
            letter = _byte(++text.place, text.last);
        }
        if (text.place == begun || text.place > begun + 16) _malformed();
        skip(text, '"');
    }

    /// Letters of base64, with the closing quote.
    function any(Text memory text) internal pure {
        uint256 begun = text.place;
        bytes1 letter = _byte(begun, text.last);
        while (
            (letter >= "a" && letter <= "z") || (letter >= "A" && letter <= "Z") || _isDigit(letter) || letter == "+"
                || letter == "/" || letter == "="
        ) {
            letter = _byte(++text.place, text.last);
        }
        if (text.place > begun + LONGEST_TEXT) _malformed();
        skip(text, '"');
    }

    /// Bytes as lower-case hex digits, with the closing quote.
    function hexBytes(Text memory text) internal pure returns (bytes memory found) {
        found = new bytes(LONGEST_TEXT / 2);
        uint256 length = 0;
        uint256 place = text.place;
        uint256 last = text.last;
        bool isHex = true;
        while (isHex && place + 32 <= last && length + 16 <= LONGEST_TEXT / 2) {
            uint256 digits;
            uint256 packed;
            assembly ("memory-safe") {
                digits := calldataload(place)
            }
            (isHex, packed) = _unhex(digits);
            if (isHex) {
                assembly ("memory-safe") {
                    mstore(add(add(found, 32), length), shl(128, packed))
                }
                length += 16;
                place += 32;
            }
        }
        while (_byte(place, last) != '"') {
            if (length == LONGEST_TEXT / 2) _malformed();
            found[length++] = bytes1(_digit(_byte(place, last)) * 16 + _digit(_byte(place + 1, last)));
            place += 2;
        }
        text.place = place + 1;
        assembly ("memory-safe") {
            mstore(found, length)
        }
    }

    /// An account, 0x and 40 hex digits in any case, or nothing (0), with the closing quote.
    function account(Text memory text) internal pure returns (address) {
        if (_byte(text.place, text.last) == '"') {
            ++text.place;
            return address(0);
        }
        skip(text, "0x");
        uint160 value = 0;
        for (uint256 i = 0; i < 40; ++i) {
            bytes1 digit = _byte(text.place + i, text.last);
            value = value * 16 + _digit(digit >= "A" && digit <= "F" ? digit | 0x20 : digit);
        }
        text.place += 40;
        skip(text, '"');
        return address(value);
    }

    function _digit(bytes1 letter) private pure returns (uint8) {
        if (_isDigit(letter)) return uint8(letter) - 48;
        if (letter < "a" || letter > "f") _malformed();
        return uint8(letter) - 87;
    }

    function _isDigit(bytes1 letter) private pure returns (bool) {
        return letter >= "0" && letter <= "9";
    }

    function _byte(uint256 place, uint256 last) private pure returns (bytes1 found) {
        if (place >= last) return 0;
        assembly ("memory-safe") {
            found := and(calldataload(place), shl(248, 0xff))
        }
    }
}
