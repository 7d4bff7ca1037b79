// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Reader} from "Reader.sol";

/// The consortium ledger on a chain: the rules of rules.py, with the same answers.
///
/// An operation comes as the canonical JSON that its author signs, so its id is the SHA-256 of what is read here and
/// nobody can send another operation under that id. Whose it is, the sending account says. An operation stands, and is
/// told by `Stands`, or it is refused, changes nothing, and is told by `Refused`; sent again, it changes nothing.
contract Consortium {
    using Reader for Reader.Text;

    struct Sent {
        uint8 kind; // its place in Kind
        bytes operation; // canonical JSON
        bytes approvals; // signatures of 65 bytes (r, s, v) by accounts of the commission, one after the other
        bytes seal; // suite, signature and approvals of the signed operation; kept for others, not read here
    }

    struct Standing {
        uint64 number; // counted from 1; 0: it does not stand
        uint64 height;
        uint64 time;
    }

    struct Period {
        address account;
        uint40 since;
        uint40 until; // 0: no end
        uint40 keysEnd; // 0: none
    }

    struct Member {
        bytes32 id;
        uint8 role;
        bool suspended;
        bool inCommission;
        Period[] periods;
        uint64[] heights; // of the operations that changed it
    }

    struct Consent {
        uint32 by; // 0: there is none
        uint32 grantee;
        uint40 grantedHeight;
        uint40 revokedHeight; // 0: not revoked
    }

    struct Stream {
        uint32 owner;
        uint32 sequence;
    }

    struct Use {
        uint24 holder;
        uint8 state; // FREE, RESERVED, SETTLED
        bool split;
        uint40 until;
        uint32 heldHeight; // of the reservation
        uint32 height; // of the last change
        uint112 claim; // the first 14 bytes of a digest of the claim's commitment
    }

    enum Kind { Found, PutMember, SuspendMember, GrantConsent, RevokeConsent, Anchor, Reserve, Settle, Release, Void }

    event Stands(
        uint256 indexed number, bytes32 indexed id, bytes32 indexed subject, uint256 time, uint8 kind, bytes results,
        bytes operation, bytes seal
    );
    event Refused(bytes32 indexed id, address indexed sender, uint8 code);

    error No(uint8 code);
    error NotHere();

    // the places of the codes in `codes.py`
    uint8 private constant MALFORMED = 0;
    uint8 private constant UNKNOWN_MEMBER = 1;
    uint8 private constant SUSPENDED_MEMBER = 2;
    uint8 private constant BAD_SIGNATURE = 3;
    uint8 private constant NOT_COMMISSION = 4;
    uint8 private constant APPROVALS_MISSING = 5;
    uint8 private constant FOUNDED = 6;
    uint8 private constant ROLE_CHANGED = 7;
    uint8 private constant ACCOUNT_TAKEN = 8;
    uint8 private constant UNUSABLE_KEYS = 9;
    uint8 private constant COMMISSION_TOO_SMALL = 10;
    uint8 private constant CONSENT_EXISTS = 11;
    uint8 private constant UNKNOWN_CONSENT = 12;
    uint8 private constant NOT_PARTY = 13;
    uint8 private constant UNKNOWN_GRANTEE = 14;
    uint8 private constant NOT_OWNER = 15;
    uint8 private constant OUT_OF_ORDER = 16;
    uint8 private constant NOT_HOLDER = 17;
    uint8 private constant SPENT = 18;
    uint8 private constant VOIDED = 19;
    uint8 private constant NEXT_PART_OPEN = 20;

    bytes1 private constant R_RESERVED = 0x00;
    bytes1 private constant R_MINE = 0x01;
    bytes1 private constant R_HELD = 0x02;
    bytes1 private constant R_SPENT = 0x03;
    bytes1 private constant R_VOID = 0x04;
    bytes1 private constant R_CLOSED = 0x05;
    bytes1 private constant R_NO_TICKET = 0x06;
    bytes1 private constant R_SETTLED = 0x07;
    bytes1 private constant R_RELEASED = 0x08;

    uint8 private constant FREE = 0;
    uint8 private constant RESERVED = 1;
    uint8 private constant SETTLED = 2;

    uint256 private constant MOST_ITEMS = 256;
    uint256 private constant MOST_FOUNDERS = 32;
    uint256 private constant LONGEST_HOLD = 30 days;
    uint256 private constant LAST_SECOND = 2 ** 40;
    uint256 private constant FIRST_MILLISECONDS = 10 ** 11;
    uint256 private constant HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    address public immutable founder; // the account that may found this ledger

    uint32 public approvalsNeeded; // 0: not founded
    uint32 public commissionSize;

    uint32[] private heights; // of the operations that stand, by number
    mapping(bytes32 id => Standing) private standing;
    Member[] private members; // by their place; the first is nobody
    mapping(bytes32 id => uint256 place) private placeOf;
    mapping(address account => uint256 place) private ownerOf;
    mapping(bytes32 consent => Consent) public consents;
    mapping(bytes32 stream => Stream) private streams;
    mapping(bytes32 root => uint256 height) public anchored;
    mapping(bytes32 part => Use) private uses;
    mapping(bytes32 bill => uint256 height) private voids;

    constructor(address founder_) {
        founder = founder_;
        members.push();
    }

    // ---------------------------------------------------------------- writing

    /// Take these operations of the sending account in order. One that is refused does not keep the others from standing.
    function submit(Sent[] calldata sent) external {
        for (uint256 i = 0; i < sent.length; ++i) {
            bytes32 id = sha256(sent[i].operation);
            if (standing[id].number == 0) _submit(id, sent[i]);
        }
    }

    function _submit(bytes32 id, Sent calldata sent) private {
        // a call to itself: what a refused operation has changed so far is undone
        try this.execute(msg.sender, id, sent.kind, sent.operation, sent.approvals) returns (
            bytes32 subject, bytes memory results
        ) {
            heights.push(uint32(block.number));
            uint256 number = heights.length;
            standing[id] = Standing(uint64(number), uint64(block.number), uint64(_now()));
            emit Stands(number - 1, id, subject, _now(), sent.kind, results, sent.operation, sent.seal);
        } catch (bytes memory reason) {
            // anything but No(code), such as a lack of gas, undoes the transaction and may be tried again
            if (reason.length != 36 || bytes4(reason) != No.selector) revert NotHere();
            emit Refused(id, msg.sender, uint8(reason[35]));
        }
    }

    /// One operation; only for `submit`.
    function execute(address sender, bytes32 id, uint8 kind, bytes calldata operation, bytes calldata approvals)
        external
        returns (bytes32 subject, bytes memory results)
    {
        if (msg.sender != address(this)) revert NotHere();
        Reader.Text memory text = Reader.over(operation);
        if (kind == uint8(Kind.Found)) {
            _found(text, sender);
            return (0, "");
        }
        text.skip('{"by":"');
        bytes32 by = text.id();
        uint256 place = _active(by);
        if (!_isAccountOf(place, sender)) revert No(BAD_SIGNATURE);
        if (kind == uint8(Kind.GrantConsent)) subject = _grant(text, place);
        else if (kind == uint8(Kind.RevokeConsent)) subject = _revoke(text, place);
        else if (kind == uint8(Kind.Anchor)) subject = _anchor(text, place);
        else if (kind == uint8(Kind.Reserve)) results = _reserve(text, by, place);
        else if (kind == uint8(Kind.Settle)) results = _settleOrRelease(text, place, true);
        else if (kind == uint8(Kind.Release)) results = _settleOrRelease(text, place, false);
        else if (kind == uint8(Kind.Void)) _void(text, by);
        else if (kind == uint8(Kind.PutMember)) subject = _putMember(text, id, place, approvals);
        else if (kind == uint8(Kind.SuspendMember)) subject = _suspend(text, id, place, approvals);
        else revert No(MALFORMED);
    }

    // ---------------------------------------------------------------- who

    function _active(bytes32 id) private view returns (uint256 place) {
        place = placeOf[id];
        if (place == 0) revert No(UNKNOWN_MEMBER);
        if (members[place].suspended) revert No(SUSPENDED_MEMBER);
    }

    function _isAccountOf(uint256 place, address account) private view returns (bool) {
        if (account == address(0)) return false;
        Period[] storage periods = members[place].periods;
        for (uint256 i = periods.length; i > 0; --i) {
            Period storage period = periods[i - 1];
            if (period.since <= block.number && (period.until == 0 || block.number < period.until)) {
                return period.account == account && (period.keysEnd == 0 || block.number < period.keysEnd);
            }
        }
        return false;
    }

    function _agree(bytes32 id, uint256 place, bytes calldata approvals) private view {
        if (!members[place].inCommission) revert No(NOT_COMMISSION);
        if (approvals.length % 65 != 0 || approvals.length / 65 > MOST_FOUNDERS) revert No(MALFORMED);
        bytes32 digest = sha256(abi.encodePacked("safeweave/approval/1", id));
        uint256[] memory agreeing = new uint256[](approvals.length / 65 + 1);
        agreeing[0] = place;
        uint256 count = 1;
        for (uint256 i = 0; i < approvals.length; i += 65) {
            address account = _signerOf(digest, approvals[i:i + 65]);
            uint256 other = ownerOf[account];
            if (other == 0 || !members[other].inCommission || !_isAccountOf(other, account)) continue;
            uint256 j = 0;
            while (j < count && agreeing[j] != other) ++j;
            if (j == count) agreeing[count++] = other;
        }
        if (count < approvalsNeeded) revert No(APPROVALS_MISSING);
    }

    /// The account that signed a digest, 0 if none did. Each signature has one form only (the lower s, EIP-2).
    function _signerOf(bytes32 digest, bytes memory signature) private pure returns (address) {
        if (signature.length != 65) return address(0);
        bytes32 r;
        uint256 s;
        assembly ("memory-safe") {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
        }
        if (s > HALF_ORDER) return address(0);
        return ecrecover(digest, uint8(signature[64]), r, bytes32(s));
    }

    // ---------------------------------------------------------------- members

    struct Founders {
        uint256 count;
        bool isNamed;
        bool isSender;
        bool isTwice;
        bool isUnusable;
    }

    function _found(Reader.Text memory text, address sender) private {
        if (approvalsNeeded != 0) revert No(FOUNDED);
        text.skip('{"approvals_needed":');
        uint256 needed = text.number(1, type(uint32).max);
        text.skip(',"by":"');
        bytes32 by = text.id();
        text.skip('","commission":[');
        Founders memory seen;
        do {
            text.skip('{"endpoint_hash":"');
            text.id();
            text.skip('","keys":');
            Period memory keys = _keys(text);
            text.skip(',"member":"');
            bytes32 id = text.id();
            text.skip('"}');
            if (placeOf[id] != 0 || ownerOf[keys.account] != 0) seen.isTwice = true;
            if (keys.keysEnd != 0 && keys.keysEnd <= keys.since) seen.isUnusable = true;
            if (id == by && !seen.isNamed) (seen.isNamed, seen.isSender) = (true, keys.account == sender);
            uint256 place = _join(id, 2);
            members[place].inCommission = true;
            _begin(place, keys, block.number);
            ++seen.count;
        } while (text.goesOn());
        text.skip('],"kind":"found","nonce":"');
        text.id();
        text.end('"}');
        if (!seen.isNamed) revert No(NOT_COMMISSION);
        if (!seen.isSender || sender != founder) revert No(BAD_SIGNATURE);
        if (seen.isTwice || seen.count > MOST_FOUNDERS) revert No(MALFORMED);
        if (needed > seen.count) revert No(COMMISSION_TOO_SMALL);
        if (seen.isUnusable) revert No(UNUSABLE_KEYS);
        approvalsNeeded = uint32(needed);
        commissionSize = uint32(seen.count);
    }

    function _putMember(Reader.Text memory text, bytes32 operation, uint256 by, bytes calldata approvals)
        private
        returns (bytes32 id)
    {
        text.skip('","endpoint_hash":"');
        text.id();
        text.skip('","keys":');
        Period memory keys = _keys(text);
        text.skip(',"kind":"put_member","member":"');
        id = text.id();
        text.skip('","nonce":"');
        text.id();
        text.skip('","role":"');
        uint8 role = _role(text.word());
        text.end("}");
        _agree(operation, by, approvals);

        uint256 place = placeOf[id];
        if (place != 0 && members[place].role != role) revert No(ROLE_CHANGED);
        if (keys.keysEnd != 0 && keys.keysEnd <= keys.since) revert No(UNUSABLE_KEYS);
        uint256 owner = ownerOf[keys.account];
        if (owner != 0 && owner != place) revert No(ACCOUNT_TAKEN);
        uint256 since = keys.since > block.number ? keys.since : block.number;
        if (keys.keysEnd != 0 && keys.keysEnd <= since) revert No(UNUSABLE_KEYS);
        if (place == 0) place = _join(id, role);
        Member storage member = members[place];
        member.suspended = false;
        if (role == 2 && !member.inCommission) {
            member.inCommission = true;
            ++commissionSize;
        }
        _begin(place, keys, since);
    }

    function _suspend(Reader.Text memory text, bytes32 operation, uint256 by, bytes calldata approvals)
        private
        returns (bytes32 id)
    {
        text.skip('","kind":"suspend_member","member":"');
        id = text.id();
        text.skip('","nonce":"');
        text.id();
        text.skip('","reason":"');
        bytes32 reason = text.word();
        text.end("}");
        if (reason != "left" && reason != "key_lost" && reason != "breach" && reason != "order") revert No(MALFORMED);
        _agree(operation, by, approvals);

        uint256 place = placeOf[id];
        if (place == 0) revert No(UNKNOWN_MEMBER);
        Member storage member = members[place];
        if (member.suspended) return id;
        if (member.inCommission) {
            if (commissionSize - 1 < approvalsNeeded) revert No(COMMISSION_TOO_SMALL);
            member.inCommission = false;
            --commissionSize;
        }
        member.suspended = true;
        member.heights.push(uint64(block.number));
    }

    function _join(bytes32 id, uint8 role) private returns (uint256 place) {
        place = members.length;
        members.push();
        members[place].id = id;
        members[place].role = role;
        placeOf[id] = place;
    }

    /// These keys count from `since`: later periods fall away, an earlier one ends there.
    function _begin(uint256 place, Period memory keys, uint256 since) private {
        Member storage member = members[place];
        while (member.periods.length > 0 && member.periods[member.periods.length - 1].since >= since) {
            member.periods.pop();
        }
        if (member.periods.length > 0) {
            Period storage last = member.periods[member.periods.length - 1];
            if (last.until == 0 || last.until > since) last.until = uint40(since);
        }
        member.periods.push(Period(keys.account, uint40(since), keys.keysEnd, keys.keysEnd));
        member.heights.push(uint64(block.number));
        if (keys.account != address(0)) ownerOf[keys.account] = place;
    }

    function _keys(Reader.Text memory text) private pure returns (Period memory keys) {
        text.skip('{"account":"');
        keys.account = text.account();
        text.skip(',"sealing":"');
        text.any();
        text.skip(',"signing":"');
        text.any();
        text.skip(',"suite":"');
        text.suite();
        text.skip(',"valid_from":');
        keys.since = uint40(text.number(0, type(uint40).max - 1));
        text.skip(',"valid_until":');
        if (text.isNull()) keys.keysEnd = 0;
        else keys.keysEnd = uint40(text.number(1, type(uint40).max - 1));
        text.skip(',"vrf":"');
        text.any();
        text.skip("}");
    }

    function _role(bytes32 word) private pure returns (uint8) {
        if (word == "hospital") return 0;
        if (word == "insurer") return 1;
        if (word == "commission") return 2;
        if (word == "operator") return 3;
        revert No(MALFORMED);
    }

    // ---------------------------------------------------------------- consents

    function _grant(Reader.Text memory text, uint256 by) private returns (bytes32 consent) {
        text.skip('","commitment":"');
        text.id();
        text.skip('","consent":"');
        consent = text.id();
        text.skip('","expires":');
        uint256 expires = text.number(0, LAST_SECOND);
        text.skip(',"grantee":"');
        uint256 grantee = placeOf[text.id()];
        text.skip('","kind":"grant_consent","nonce":"');
        text.id();
        text.skip('","not_before":');
        uint256 notBefore = text.number(0, LAST_SECOND);
        text.skip(',"scope_commitment":"');
        text.id();
        text.end('"}');
        if (expires <= notBefore || expires <= _now()) revert No(MALFORMED);
        if (consents[consent].by != 0) revert No(CONSENT_EXISTS);
        if (grantee == 0 || members[grantee].suspended) revert No(UNKNOWN_GRANTEE);
        consents[consent] = Consent(uint32(by), uint32(grantee), uint40(block.number), 0);
    }

    function _revoke(Reader.Text memory text, uint256 by) private returns (bytes32 consent) {
        text.skip('","consent":"');
        consent = text.id();
        text.skip('","kind":"revoke_consent","nonce":"');
        text.id();
        text.end('"}');
        Consent storage found = consents[consent];
        if (found.by == 0) revert No(UNKNOWN_CONSENT);
        if (found.by != by && found.grantee != by) revert No(NOT_PARTY);
        if (found.revokedHeight == 0) found.revokedHeight = uint40(block.number);
    }

    // ---------------------------------------------------------------- anchors

    function _anchor(Reader.Text memory text, uint256 by) private returns (bytes32 root) {
        text.skip('","count":');
        text.number(1, type(uint32).max);
        text.skip(',"kind":"anchor","nonce":"');
        text.id();
        text.skip('","root":"');
        root = text.id();
        text.skip('","sequence":');
        uint256 sequence = text.number(1, type(uint32).max);
        text.skip(',"stream":"');
        bytes32 id = text.id();
        text.end('"}');
        Stream storage stream = streams[id];
        if (stream.owner != 0 && stream.owner != by) revert No(NOT_OWNER);
        if (sequence != uint256(stream.sequence) + 1) revert No(OUT_OF_ORDER);
        stream.owner = uint32(by);
        stream.sequence = uint32(sequence);
        if (anchored[root] == 0) anchored[root] = block.number;
    }

    // ---------------------------------------------------------------- bills

    struct Reservation {
        bytes32 by;
        uint256 place;
        uint256 until;
        uint112 claim;
        bytes results;
        uint256 count;
    }

    function _reserve(Reader.Text memory text, bytes32 by, uint256 place) private returns (bytes memory results) {
        text.skip('","claim_commitment":"');
        bytes32 claim = text.id();
        text.skip('","kind":"reserve","nonce":"');
        text.id();
        text.skip('","tickets":[');
        // the span stands behind the tickets, and is needed for the first of them
        uint256 ttl = text.lastNumber(',"ttl":', 1, LONGEST_HOLD);
        Reservation memory wanted =
            Reservation(by, place, _now() + ttl, uint112(bytes14(keccak256(abi.encode(claim)))), new bytes(MOST_ITEMS), 0);
        do {
            _reserveTicket(text, wanted);
        } while (text.goesOn());
        text.skip('],"ttl":');
        text.number(1, LONGEST_HOLD);
        text.end("}");
        results = wanted.results;
        uint256 count = wanted.count;
        assembly ("memory-safe") {
            mstore(results, count)
        }
    }

    function _reserveTicket(Reader.Text memory text, Reservation memory wanted) private {
        text.skip('{"account_signature":"');
        bytes memory signature = text.hexBytes();
        text.skip(',"expires":');
        uint256 expires = text.number(0, LAST_SECOND);
        text.skip(',"holder":"');
        bytes32 holder = text.id();
        text.skip('","issuer":"');
        bytes32 issuer = text.id();
        text.skip('","nullifiers":[');
        bytes32[] memory nullifiers = text.ids(MOST_ITEMS - wanted.count);
        text.skip(',"parts":[');
        uint256[] memory parts = text.numbers(nullifiers.length, 1, type(uint16).max);
        text.skip(',"signature":"');
        text.hexBytes();
        text.skip(',"suite":"');
        text.suite();
        text.skip("}");
        bool isValid = holder == wanted.by && expires > _now()
            && _isTicket(issuer, signature, abi.encodePacked(
                "safeweave/ticket/1", issuer, holder, expires, nullifiers, parts
            ));
        for (uint256 i = 0; i < nullifiers.length; ++i) {
            wanted.results[wanted.count++] =
                isValid ? _reserveOne(keccak256(abi.encode(issuer, nullifiers[i])), parts[i], wanted) : R_NO_TICKET;
        }
    }

    function _isTicket(bytes32 issuer, bytes memory signature, bytes memory ticket) private view returns (bool) {
        uint256 place = placeOf[issuer];
        if (place == 0 || members[place].suspended) return false;
        return _isAccountOf(place, _signerOf(sha256(ticket), signature));
    }

    function _reserveOne(bytes32 bill, uint256 part, Reservation memory wanted) private returns (bytes1) {
        if (voids[bill] != 0) return R_VOID;
        Use storage use = uses[_part(bill, part)];
        if (use.state == SETTLED) return R_SPENT;
        if (use.state == RESERVED && _now() < use.until) {
            if (use.holder != wanted.place) return R_HELD;
            if (use.claim == wanted.claim && use.until < wanted.until) {
                use.until = uint40(wanted.until);
                use.height = uint32(block.number);
            }
            return R_MINE;
        }
        if (part > 1) {
            Use storage before = uses[_part(bill, part - 1)];
            if (before.state != SETTLED || !before.split) return R_CLOSED;
        }
        uint32 height = uint32(block.number);
        uses[_part(bill, part)] =
            Use(uint24(wanted.place), RESERVED, false, uint40(wanted.until), height, height, wanted.claim);
        return R_RESERVED;
    }

    function _settleOrRelease(Reader.Text memory text, uint256 by, bool isSettle)
        private
        returns (bytes memory results)
    {
        bool split = false;
        text.skip('","items":[');
        if (isSettle) split = text.lastTruth('"split":');
        results = new bytes(MOST_ITEMS);
        uint256 count = 0;
        do {
            if (count == MOST_ITEMS) revert No(MALFORMED);
            text.skip('{"issuer":"');
            bytes32 issuer = text.id();
            text.skip('","nullifier":"');
            bytes32 bill = keccak256(abi.encode(issuer, text.id()));
            text.skip('","part":');
            uint256 part = text.number(1, type(uint16).max);
            text.skip("}");
            if (isSettle) _settle(bill, part, by, split);
            else _release(bill, part, by);
            results[count++] = isSettle ? R_SETTLED : R_RELEASED;
        } while (text.goesOn());
        text.skip(isSettle ? '],"kind":"settle","nonce":"' : '],"kind":"release","nonce":"');
        text.id();
        if (isSettle) text.end(split ? '","split":true}' : '","split":false}');
        else text.end('"}');
        assembly ("memory-safe") {
            mstore(results, count)
        }
    }

    function _held(bytes32 bill, uint256 part, uint256 by) private view returns (Use storage use) {
        if (voids[bill] != 0) revert No(VOIDED);
        use = uses[_part(bill, part)];
        if (use.holder != by) revert No(NOT_HOLDER);
    }

    function _settle(bytes32 bill, uint256 part, uint256 by, bool split) private {
        Use storage use = _held(bill, part, by);
        if (use.state != RESERVED) revert No(SPENT);
        use.state = SETTLED;
        use.split = split;
        use.until = 0;
        use.height = uint32(block.number);
    }

    function _release(bytes32 bill, uint256 part, uint256 by) private {
        Use storage use = _held(bill, part, by);
        if (use.state == SETTLED && uses[_part(bill, part + 1)].state != FREE) revert No(NEXT_PART_OPEN);
        uses[_part(bill, part)] = Use(0, FREE, false, 0, 0, uint32(block.number), 0);
    }

    function _void(Reader.Text memory text, bytes32 by) private {
        text.skip('","kind":"void","nonce":"');
        text.id();
        text.skip('","nullifiers":[');
        bytes32[] memory nullifiers = text.ids(MOST_ITEMS);
        text.end("}");
        for (uint256 i = 0; i < nullifiers.length; ++i) {
            voids[keccak256(abi.encode(by, nullifiers[i]))] = block.number;
        }
    }

    function _part(bytes32 bill, uint256 part) private pure returns (bytes32) {
        return keccak256(abi.encode(bill, part));
    }

    /// Seconds since 1970. Some chains count milliseconds, FISCO BCOS unless told otherwise; no date is so far off.
    function _now() private view returns (uint256) {
        return block.timestamp < FIRST_MILLISECONDS ? block.timestamp : block.timestamp / 1000;
    }

    // ---------------------------------------------------------------- reading

    /// How many operations stand.
    function total() external view returns (uint256) {
        return heights.length;
    }

    /// Where these operations stand.
    function standingOf(bytes32[] calldata ids) external view returns (Standing[] memory found) {
        found = new Standing[](ids.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            found[i] = standing[ids[i]];
        }
    }

    /// The blocks of the operations from this number on, at most `limit`.
    function heightsFrom(uint256 number, uint256 limit) external view returns (uint32[] memory found) {
        uint256 end = number + limit < heights.length ? number + limit : heights.length;
        found = new uint32[](end > number ? end - number : 0);
        for (uint256 i = 0; i < found.length; ++i) {
            found[i] = heights[number + i];
        }
    }

    /// The blocks of the operations that changed a member; none if it is not known.
    function memberHeights(bytes32 id) external view returns (uint64[] memory) {
        return members[placeOf[id]].heights;
    }

    /// One part of a bill as it was last written: its holder's id, the rest as kept, and the block that voided the bill.
    function useOf(bytes32 issuer, bytes32 nullifier, uint256 part)
        external
        view
        returns (bytes32 holder, Use memory use, uint256 voidHeight)
    {
        bytes32 bill = keccak256(abi.encode(issuer, nullifier));
        use = uses[_part(bill, part)];
        holder = members[use.holder].id;
        voidHeight = voids[bill];
    }
}
